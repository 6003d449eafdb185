#!lua flags=allow-oom
-- End or renew leases (see claim.lua for the keys).
--
-- A holding is still its owner's when the receipt matches and the time in unacked_index
-- is the one this lease wrote; a published peer that restored the message and gave it to
-- somebody else wrote another.
--
-- KEYS  1 unacked  2 unacked_index  3 holdings  4 leases
-- ARGV  1 number to renew  2 number to forget  3 number to put back  4 lease seconds
--       5 key prefix and 6 suffix around a queue's name for its 'deleted' key, 7 and 8 for
--       its 'expiring' key
--       then field, receipt for each to renew and to forget,
--       field, receipt, envelope for each to put back, the last of the queue first
-- Returns {renewed, forgotten, put back}
--include order
local renewals, acks, releases = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] .. '.' .. string.format('%06d', tonumber(clock[2]))
local ends = string.format('%.6f', tonumber(now) + tonumber(ARGV[4]))
local CHUNK = 1000

local function scores(key, fields)
  local found = redis.pcall('ZMSCORE', key, unpack(fields))
  if not found.err then return found end
  -- Redis before 6.2
  local each = {}
  for index, field in ipairs(fields) do each[index] = redis.call('ZSCORE', key, field) end
  return each
end

-- the records of those that are still held by their receipt's owner
local function held(base, width, count)
  local fields = {}
  for index = 1, count do fields[index] = ARGV[base + (index - 1) * width + 1] end
  local records = redis.call('HMGET', KEYS[3], unpack(fields))
  local seen, until_ = scores(KEYS[2], fields), scores(KEYS[4], fields)
  local mine, orphans = {}, {}
  for index = 1, count do
    local text = records[index]
    if text then
      local receipt, lease, size, place = string.match(text, '^([^\n]*)\n([^\n]*)\n(%d+)\n(.*)$')
      if receipt == ARGV[base + (index - 1) * width + 2] then
        local drift = 1
        if seen[index] and until_[index] then
          drift = math.abs(tonumber(until_[index]) - tonumber(seen[index]) - tonumber(lease))
        end
        if drift < 0.0005 then
          mine[index] = {string.sub(place, 1, size), string.sub(place, size + 1)}
        else
          orphans[#orphans + 1] = fields[index]
        end
      end
    end
  end
  if #orphans > 0 then
    redis.call('HDEL', KEYS[3], unpack(orphans))
    redis.call('ZREM', KEYS[4], unpack(orphans))
  end
  return mine, fields
end

local function forget(fields)
  redis.call('HDEL', KEYS[1], unpack(fields))
  redis.call('ZREM', KEYS[2], unpack(fields))
  redis.call('HDEL', KEYS[3], unpack(fields))
  redis.call('ZREM', KEYS[4], unpack(fields))
end

local renewed, forgotten, back = 0, 0, 0
local base = 8
for first = 1, renewals, CHUNK do
  local count = math.min(CHUNK, renewals - first + 1)
  local mine, fields = held(base, 2, count)
  for index = 1, count do
    if mine[index] then
      redis.call('ZADD', KEYS[2], 'XX', now, fields[index])
      redis.call('ZADD', KEYS[4], 'XX', ends, fields[index])
      -- the length of the lease may have been another when it was taken
      local text = redis.call('HGET', KEYS[3], fields[index])
      local receipt, lease, rest = string.match(text, '^([^\n]*)\n([^\n]*)\n(.*)$')
      if lease ~= ARGV[4] then
        redis.call('HSET', KEYS[3], fields[index], receipt .. '\n' .. ARGV[4] .. '\n' .. rest)
      end
      renewed = renewed + 1
    end
  end
  base = base + 2 * count
end
for first = 1, acks, CHUNK do
  local count = math.min(CHUNK, acks - first + 1)
  local mine, fields = held(base, 2, count)
  local done = {}
  for index = 1, count do
    if mine[index] then done[#done + 1] = fields[index] end
  end
  if #done > 0 then forget(done) end
  forgotten = forgotten + #done
  base = base + 2 * count
end
for first = 1, releases, CHUNK do
  local count = math.min(CHUNK, releases - first + 1)
  local mine, fields = held(base, 3, count)
  for index = 1, count do
    if mine[index] then
      local queue, list = mine[index][1], mine[index][2]
      local receipt = ARGV[base + (index - 1) * 3 + 2]
      -- a queue deleted since the claim takes nothing back
      local deleted = redis.call('GET', ARGV[5] .. queue .. ARGV[6])
      if not (deleted and tonumber(string.sub(receipt, 1, 16)) < tonumber(deleted)) then
        give_back(list, ARGV[base + (index - 1) * 3 + 3], ARGV[7] .. queue .. ARGV[8])
        back = back + 1
      end
      -- last, so that a script that ends above (a slot on the move) loses nothing
      forget({fields[index]})
    end
  end
  base = base + 3 * count
end
return {renewed, forgotten, back}
