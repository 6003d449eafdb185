#!lua
-- Put one message into a queue that refuses what is above its maximum length.
--
-- KEYS  the queue's lists, one per priority step (see claim.lua)
-- ARGV  1 which list  2 most messages or -1  3 most bytes or -1  4 envelope
-- Returns 1, or 0 when the queue is full
--include size
local most, most_bytes = tonumber(ARGV[2]), tonumber(ARGV[3])
local count, bytes = 0, size_of(ARGV[4])
for _, list in ipairs(KEYS) do
  count = count + redis.call('LLEN', list)
  if most_bytes >= 0 then
    for _, raw in ipairs(redis.call('LRANGE', list, 0, -1)) do bytes = bytes + size_of(raw) end
  end
end
if (most >= 0 and count + 1 > most) or (most_bytes >= 0 and bytes > most_bytes) then return 0 end
redis.call('LPUSH', KEYS[tonumber(ARGV[1])], ARGV[4])
return 1
