#!lua flags=allow-oom
--include stream
-- End or renew leases of one stream. A message is still its holder's when the group says so
-- and has not delivered it again since.
--
-- KEYS  1 stream  2 sentry
-- ARGV  1 consumer  2 number to renew  3 number to forget  4 number to give back
--       5 wake channel without the owner  then id and delivery count for each
-- Returns the number that was still held
local consumer = ARGV[1]
local renewals, acks, releases = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local still = 0

local function held(index)
  local id, count = ARGV[4 + 2 * index], ARGV[5 + 2 * index]
  local row = (pending(KEYS[1], id, id, 1) or {})[1]
  if row and row[2] == consumer and tostring(row[4]) == count then
    still = still + 1
    return id
  end
  return nil
end

for index = 1, renewals do
  local id = held(index)
  if id then redis.call('XCLAIM', KEYS[1], GROUP, consumer, 0, id, 'JUSTID') end
end
for index = renewals + 1, renewals + acks do
  local id = held(index)
  if id then
    redis.call('XACK', KEYS[1], GROUP, id)
    redis.call('XDEL', KEYS[1], id)
  end
end
local back = 0
for index = renewals + acks + 1, renewals + acks + releases do
  local id = held(index)
  if id then
    redis.call('XCLAIM', KEYS[1], GROUP, RETURNED, 0, id, 'JUSTID')
    back = back + 1
  end
end
if back > 0 then
  local sentry = redis.call('GET', KEYS[2])
  if sentry then redis.call('PUBLISH', ARGV[5] .. sentry, '1') end
end
return still
