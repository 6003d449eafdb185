-- Register an owner as waiting (see claim.lua for the keys); for scripts that say, by
-- has_messages(first, last), whether one of the lists or streams KEYS[first..last] has any.
--
-- Of all owners that wait for a queue one is its sentry. After this script it reads the
-- queue's lists under CLIENT TRACKING, so that a push from anybody, old publishers included,
-- wakes it and nobody else. A sentry that takes a message wakes the next idle owner, which
-- becomes the sentry.
--
-- KEYS  per queue: idle, sentry, delayed, one list per priority step
-- ARGV  1 owner  2 number of queues  3 number of steps  4 milliseconds a sentry stays one
--       without showing up again  5 wake channel without the owner
--       6 '1': look into the lists also where somebody else is the sentry
-- Returns {1 if there is work already, else 0, seconds until a delayed message is due or '',
--          {numbers of the queues it is the sentry of}, most owners that idle at one of the
--          other queues}
local owner, queues, steps = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local ttl, channel, look = ARGV[4], ARGV[5], ARGV[6] == '1'
local width = 3 + steps
local clock = redis.call('TIME')
local now = tonumber(clock[1] .. '.' .. string.format('%06d', tonumber(clock[2])))
local due = nil

-- Only a sentry has to look: it has seen an empty queue, or is about to claim and to ring.
-- The others look now and then, in case their sentry is there no more.
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
    if has_messages(base + 4, base + width) then return {1, '', {}, 0} end
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
  local idle, sentry = KEYS[base + 1], KEYS[base + 2]
  if watches[queue] then
    redis.call('SET', sentry, owner, 'PX', ttl)
    redis.call('ZREM', idle, owner)
  else
    redis.call('ZADD', idle, string.format('%.6f', now), owner)
    -- who lives shows up again before
    redis.call('ZREMRANGEBYSCORE', idle, '-inf', now - 600)
    redis.call('PEXPIRE', idle, 600000)
    crowd = math.max(crowd, redis.call('ZCARD', idle))
  end
end
return {0, due and string.format('%.6f', due) or '', mine, crowd}
