#!lua flags=allow-oom
-- Find and put back messages whose owner gave no sign of life (see claim.lua for the keys).
--
-- KEYS  1 unacked  2 unacked_index  3 holdings  4 leases
-- ARGV  1 'find'     2 most to report  3 seconds after which a claim without a lease record,
--                    a published peer's, is given up
--       returns {{field, record, ...}, {field, ...}, seconds until the next ends or ''}
--       1 'restore'  2 (unused)  3 as above  4 and 5 around a queue's name for its 'deleted' key,
--                    6 and 7 for its 'expiring' key
--                    then for each field, receipt or '' for a peer's claim, envelope, number of
--                    lists to put it into, and those
--       returns {number put back, {field whose list is something else, ...}}
--include order
local clock = redis.call('TIME')
local now = tonumber(clock[1] .. '.' .. string.format('%06d', tonumber(clock[2])))
local patience = tonumber(ARGV[3])

if ARGV[1] == 'find' then
  local most = ARGV[2]
  local over = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now, 'LIMIT', 0, most)
  local ours, peers = {}, {}
  for _, field in ipairs(over) do
    local text = redis.call('HGET', KEYS[3], field)
    if text and string.match(text, '^[^\n]*\n[^\n]*\n%d+\n')
      and redis.call('HEXISTS', KEYS[1], field) == 1 then
      ours[#ours + 1] = field
      ours[#ours + 1] = text
    else
      -- a published peer restored or settled it, or the record is damaged: as a peer's then
      redis.call('HDEL', KEYS[3], field)
      redis.call('ZREM', KEYS[4], field)
    end
  end
  local old = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - patience, 'LIMIT', 0, most)
  for _, field in ipairs(old) do
    if not redis.call('ZSCORE', KEYS[4], field) then
      if redis.call('HEXISTS', KEYS[1], field) == 1 then
        peers[#peers + 1] = field
      else
        redis.call('ZREM', KEYS[2], field)
      end
    end
  end
  local soon = nil
  local lease = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
  if lease[2] then soon = tonumber(lease[2]) - now end
  local peer = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
  -- of what has a lease that counts, however old its last sign of life is
  if peer[2] and not redis.call('ZSCORE', KEYS[4], peer[1]) then
    local wait = tonumber(peer[2]) + patience - now
    if not soon or wait < soon then soon = wait end
  end
  return {ours, peers, soon and string.format('%.6f', soon) or ''}
end

local function can_take(list)
  local kind = redis.call('TYPE', list).ok
  return kind == 'list' or kind == 'none'
end

local back, wrong = 0, {}
local index = 8
while index <= #ARGV do
  local field, receipt, envelope = ARGV[index], ARGV[index + 1], ARGV[index + 2]
  local lists = {unpack(ARGV, index + 4, index + 3 + tonumber(ARGV[index + 3]))}
  index = index + 4 + #lists
  local lease = redis.call('ZSCORE', KEYS[4], field)
  local free, queue = false, nil
  if receipt == '' then
    local seen = redis.call('ZSCORE', KEYS[2], field)
    free = not lease and seen and tonumber(seen) <= now - patience
  else
    local text = redis.call('HGET', KEYS[3], field)
    if text and lease and tonumber(lease) <= now then
      local found, size, place = string.match(text, '^([^\n]*)\n[^\n]*\n(%d+)\n(.*)$')
      free, queue = found == receipt, string.sub(place, 1, size)
    end
  end
  for _, list in ipairs(lists) do
    if free and not can_take(list) then
      free = false
      wrong[#wrong + 1] = field
    end
  end
  if free then
    local deleted = queue and redis.call('GET', ARGV[4] .. queue .. ARGV[5])
    if not (deleted and tonumber(string.sub(receipt, 1, 16)) < tonumber(deleted)) then
      local expiring = queue and ARGV[6] .. queue .. ARGV[7]
      for _, list in ipairs(lists) do give_back(list, envelope, expiring) end
      back = back + 1
    end
    -- last, so that a script that ends above (a slot on the move) loses nothing
    redis.call('HDEL', KEYS[1], field)
    redis.call('ZREM', KEYS[2], field)
    redis.call('HDEL', KEYS[3], field)
    redis.call('ZREM', KEYS[4], field)
  end
end
return {back, wrong}
