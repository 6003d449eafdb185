#!lua flags=allow-oom
--include stream
-- Register an owner as waiting; arm.lua, for streams (KEYS, ARGV and reply are the same).
local owner, queues, steps = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local ttl, channel, look = ARGV[4], ARGV[5], ARGV[6] == '1'
local width = 3 + steps
local clock = redis.call('TIME')
local now = tonumber(clock[1] .. '.' .. string.format('%06d', tonumber(clock[2])))
local due = nil
local watches, mine, crowd = {}, {}, 0
for queue = 1, queues do
  local base = (queue - 1) * width
  local current = redis.call('GET', KEYS[base + 2])
  if current and current ~= owner then
    local listening = redis.call('PUBSUB', 'NUMSUB', channel .. current)
    if tonumber(listening[2]) == 0 then current = false end
  end
  local mine_now = not current or current == owner
  if mine_now then
    watches[queue] = true
    mine[#mine + 1] = queue
  end
  if mine_now or look then
    for step = 1, steps do
      if has_work(KEYS[base + 3 + step]) then return {1, '', {}, 0} end
    end
    local first = redis.call('ZRANGE', KEYS[base + 3], 0, 0, 'WITHSCORES')
    if first[2] then
      local wait = tonumber(first[2]) - now
      if wait <= 0 then return {1, '', {}, 0} end
      if not due or wait < due then due = wait end
    end
  end
end
for queue = 1, queues do
  local base = (queue - 1) * width
  if watches[queue] then
    redis.call('SET', KEYS[base + 2], owner, 'PX', ttl)
    redis.call('ZREM', KEYS[base + 1], owner)
  else
    redis.call('ZADD', KEYS[base + 1], string.format('%.6f', now), owner)
    redis.call('ZREMRANGEBYSCORE', KEYS[base + 1], '-inf', now - 600)
    redis.call('PEXPIRE', KEYS[base + 1], 600000)
    crowd = math.max(crowd, redis.call('ZCARD', KEYS[base + 1]))
  end
end
return {0, due and string.format('%.6f', due) or '', mine, crowd}
