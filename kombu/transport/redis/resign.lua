#!lua flags=allow-oom
-- Stop waiting for queues; the watch over each goes to the next owner that waits for it
-- (see claim.lua for the keys).
--
-- KEYS  per queue: idle, sentry
-- ARGV  1 owner  2 wake channel without the owner
local owner, channel = ARGV[1], ARGV[2]
--include ring
resign(0, #KEYS / 2)
return 0
