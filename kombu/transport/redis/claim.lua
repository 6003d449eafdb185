#!lua flags=allow-oom
-- Take ready messages under a lease, in one step that nothing can interrupt.
--
-- Catalogue of the keys (P = global_keyprefix, Q = queue; in a cluster every name that
-- belongs to a queue starts with P{Q} and so shares its slot):
--
--   published format, shared with kombu 5.7
--     PQ, PQ<sep>3, PQ<sep>6 ...    list    one per priority step; LPUSH in, the right end is the head
--     Punacked                      hash    field -> [envelope, exchange, routing key] as JSON
--     Punacked_index                zset    field -> unix time of the owner's last sign of life
--   additive, unknown to kombu 5.7
--     P_kombu.holdings              hash    field -> receipt \n lease seconds \n length of the
--                                           queue's name \n that name, list key
--     P_kombu.leases                zset    field -> unix time at which the lease ends
--     P_kombu.delayed.Q             zset    step : nonce : envelope -> unix time from which it is ready
--     P_kombu.idle.Q                zset    owner that waits -> since when
--     P_kombu.sentry.Q              string  the one waiting owner that watches the lists of Q
--     P_kombu.quarantine.Q          list    values that were no messages
--     P_kombu.deleted.Q             string  when the queue was deleted (microseconds)
--     P_kombu.queue.Q               string  how the queue was declared (JSON)
--     P_kombu.expiring.Q            string  its x-expires; outlives the queue by an hour
--     channel P_kombu.wake.<owner>          wakes one waiting owner
--
-- field is the message's delivery tag; when a copy of the same message is held already it
-- is the tag, a colon and the claim's number. A receipt is 21 digits (microseconds of the
-- claim, place within the claim), a slash and the owner, so that receipts sort by age.
--
-- KEYS  1 unacked  2 unacked_index  3 holdings  4 leases
--       then per queue: idle, delayed, quarantine, one list per priority step
--       then per queue this owner is registered for as waiting: idle, sentry
-- ARGV  1 limit  2 owner  3 lease seconds  4 number of queues  5 number of steps
--       6 number of registrations  7 '1': record the claim, '0': plain pop
--       8 wake channel without the owner
--       9 and 10 messages and bytes to leave in the queue (only what is above is taken), or -1
--       then the plain queue names, then the names of the steps
-- Returns {microseconds, left, {list number, place, field, envelope, ...},
--          {queue number, set-aside value, ...}, {key of a wrong type, ...}}
--include size
local limit, owner, lease = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local queues, steps, registrations = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local record, channel = ARGV[7] == '1', ARGV[8]
local names, stepnames = 10, 10 + queues
local width = 3 + steps
local clock = redis.call('TIME')
local micros = clock[1] .. string.format('%06d', tonumber(clock[2]))
local now = clock[1] .. '.' .. string.format('%06d', tonumber(clock[2]))
local ends = string.format('%.6f', tonumber(now) + tonumber(lease))

local rows, bad, wrong = {}, {}, {}
local scores, ending, holdings, values, held = {}, {}, {}, {}, {}
local place = 0
-- lists and how much was read from the end of each; removed when all of it is recorded, so
-- that a script that fails on the way (a key of a wrong type, a missing permission) loses nothing
local taken = {}

local function key_of(queue, offset)
  return KEYS[4 + (queue - 1) * width + offset]
end

-- delayed messages whose time has come join the tail of their list, oldest first
for queue = 1, queues do
  local delayed = key_of(queue, 2)
  local due = redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, 500)
  for _, member in ipairs(due) do
    local colon = string.find(member, ':', 1, true)
    local second = string.find(member, ':', colon + 1, true)
    local step, target = string.sub(member, 1, colon - 1), 1
    for index = 1, steps do
      if ARGV[stepnames + index] == step then target = index end
    end
    redis.call('LPUSH', key_of(queue, 3 + target), string.sub(member, second + 1))
    redis.call('ZREM', delayed, member)
  end
end

-- a queue with a maximum length: only what is too much, from the head
local keep, keep_bytes = tonumber(ARGV[9]), tonumber(ARGV[10])
if keep >= 0 or keep_bytes >= 0 then
  local total, kept, bytes, fits = 0, 0, 0, true
  for step = steps, 1, -1 do
    local list = key_of(1, 3 + step)
    total = total + redis.call('LLEN', list)
    if keep_bytes >= 0 and fits then
      for _, raw in ipairs(redis.call('LRANGE', list, 0, -1)) do
        bytes = bytes + size_of(raw)
        if bytes > keep_bytes then fits = false break end
        kept = kept + 1
      end
    end
  end
  if keep_bytes < 0 then kept = total end
  if keep >= 0 then kept = math.min(kept, keep) end
  limit = math.min(limit, total - kept)
end

local function text_of(value, otherwise)
  if type(value) == 'string' then return value end
  return otherwise
end

-- delivery tag, exchange and routing key of an envelope; nothing when it is none
local function identify(raw, queue)
  if string.sub(raw, 1, 1) ~= '{' then return nil end
  local ok, envelope = pcall(cjson.decode, raw)
  if not ok then
    -- lone surrogates and the like, which cjson refuses and Python reads
    return string.match(raw, '"delivery_tag": "([^"\\]+)"'), '', ARGV[names + queue]
  end
  local properties = envelope['properties']
  if type(properties) ~= 'table' then return nil end
  local tag = properties['delivery_tag']
  if type(tag) == 'number' then tag = string.format('%.0f', tag) end
  if type(tag) ~= 'string' then return nil end
  local info = properties['delivery_info']
  if type(info) ~= 'table' then info = {} end
  return tag, text_of(info['exchange'], ''), text_of(info['routing_key'], ARGV[names + queue])
end

local function take(queue, step)
  local list = key_of(queue, 3 + step)
  local found = redis.pcall('LRANGE', list, place - limit, -1)
  if found.err then
    wrong[#wrong + 1] = list
    return
  end
  if #found == 0 then return end
  -- changes nothing, but ends here if it is not allowed
  redis.call('LTRIM', list, 0, -1)
  taken[#taken + 1] = {list, #found}
  for index = #found, 1, -1 do
    local raw = found[index]
    local tag, exchange, routing_key = identify(raw, queue)
    if not tag then
      redis.call('LPUSH', key_of(queue, 3), raw)
      bad[#bad + 1] = queue
      bad[#bad + 1] = raw
    else
      place = place + 1
      local field = tag
      if record then
        local number = micros .. string.format('%05d', place)
        local value = '[' .. raw .. ', ' .. cjson.encode(exchange) .. ', '
          .. cjson.encode(routing_key) .. ']'
        if held[field] or redis.call('HEXISTS', KEYS[1], field) == 1 then
          field = tag .. ':' .. number
        end
        held[field] = value
        values[#values + 1] = field
        values[#values + 1] = value
        scores[#scores + 1] = now
        scores[#scores + 1] = field
        ending[#ending + 1] = ends
        ending[#ending + 1] = field
        holdings[#holdings + 1] = field
        holdings[#holdings + 1] = number .. '/' .. owner .. '\n' .. lease .. '\n'
          .. #ARGV[names + queue] .. '\n' .. ARGV[names + queue] .. list
      end
      rows[#rows + 1] = (queue - 1) * steps + step
      rows[#rows + 1] = place
      rows[#rows + 1] = field
      rows[#rows + 1] = raw
    end
  end
end

for step = 1, steps do
  for queue = 1, queues do
    if place < limit then take(queue, step) end
  end
end

-- Lua can hand on some thousand values at once
for first = 1, #scores, 4000 do
  local last = math.min(first + 3999, #scores)
  redis.call('ZADD', KEYS[2], unpack(scores, first, last))
  redis.call('HSET', KEYS[3], unpack(holdings, first, last))
  redis.call('ZADD', KEYS[4], unpack(ending, first, last))
  redis.call('HSET', KEYS[1], unpack(values, first, last))
end

for _, read in ipairs(taken) do
  redis.call('LTRIM', read[1], 0, -1 - read[2])
end

--include ring
local left = 0
if place > 0 then
  resign(4 + queues * width, registrations)
  if place >= limit then
    -- what is left over is for the others
    for queue = 1, queues do
      if redis.call('EXISTS', key_of(queue, 1)) == 1 then
        local waiting = 0
        for step = 1, steps do
          local length = redis.pcall('LLEN', key_of(queue, 3 + step))
          if type(length) == 'number' then waiting = waiting + length end
        end
        left = left + waiting
        if waiting > 0 then
          ring(key_of(queue, 1), math.min(math.ceil(waiting / limit), 8))
        end
      end
    end
  end
end
return {micros, left, rows, bad, wrong}
