#!lua flags=allow-oom
--include stream
--
-- Take ready messages under a lease: what came back first, then what nobody had yet.
--
-- KEYS  per queue: idle, delayed, one stream per priority step
--       then per queue this owner is registered for as waiting: idle, sentry
-- ARGV  1 limit  2 owner (the consumer)  3 number of queues  4 number of steps
--       5 number of registrations  6 wake channel without the owner  7 '1': also look for
--       owners that are gone  8 and 9 messages and bytes to leave in the queue, or -1
--       then the names of the steps
-- Returns {{stream number, id, delivery count, envelope, ...}, {key of a wrong type, ...},
--          milliseconds until the next lease ends, as far as it looked, or -1}
local limit, consumer = tonumber(ARGV[1]), ARGV[2]
local queues, steps, registrations = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local channel, sweeping = ARGV[6], ARGV[7] == '1'
local keep, keep_bytes = tonumber(ARGV[8]), tonumber(ARGV[9])
local owner = string.match(consumer, '^(.*)~')
local width = 2 + steps
local clock = redis.call('TIME')
local now = clock[1] .. '.' .. string.format('%06d', tonumber(clock[2]))
local rows, wrong, taken, soon = {}, {}, 0, nil
-- most messages taken from one owner at a time; leases after which an idle owner is struck off
local RETURNS, FORGOTTEN = 1000, 60
--include ring
--include stream_length

local function key_of(queue, offset)
  return KEYS[(queue - 1) * width + offset]
end

for queue = 1, queues do
  local delayed = key_of(queue, 2)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, 500)) do
    local colon = string.find(member, ':', 1, true)
    local second = string.find(member, ':', colon + 1, true)
    local step, target = string.sub(member, 1, colon - 1), 1
    for index = 1, steps do
      if ARGV[9 + index] == step then target = index end
    end
    redis.call('XADD', key_of(queue, 2 + target), '*', 'm', string.sub(member, second + 1))
    redis.call('ZREM', delayed, member)
  end
end

if sweeping then
  for queue = 1, queues do
    for step = 1, steps do
      local stream = key_of(queue, 2 + step)
      for _, holder in ipairs(consumers(stream)) do
        local lease = tonumber(string.match(holder.name, '~(%d+)$'))
        if lease and holder.pending > 0 then
          local ended = pending(stream, 'IDLE', lease, '-', '+', RETURNS, holder.name)
          for _, row in ipairs(ended) do
            redis.call('XCLAIM', stream, GROUP, RETURNED, 0, row[1], 'JUSTID')
          end
          local next = pending(stream, '-', '+', 1, holder.name)[1]
          if next then
            local left = #ended < RETURNS and math.max(lease - next[3], 0) or 0
            soon = math.min(soon or left, left)
          end
        elseif lease and holder.idle > lease * FORGOTTEN then
          redis.call('XGROUP', 'DELCONSUMER', stream, GROUP, holder.name)
        end
      end
    end
  end
end

-- a queue with a maximum length: only what is too much, from the head
if keep >= 0 or keep_bytes >= 0 then
  local total, kept, bytes, fits = 0, 0, 0, true
  for step = steps, 1, -1 do
    local stream = key_of(1, 2 + step)
    total = total + waiting(stream)
    if keep_bytes >= 0 and fits then
      fits = each_size(stream, function(size)
        bytes = bytes + size
        if bytes > keep_bytes then return false end
        kept = kept + 1
        return true
      end)
    end
  end
  if keep_bytes < 0 then kept = total end
  if keep >= 0 then kept = math.min(kept, keep) end
  limit = math.min(limit, total - kept)
end

local function add(number, entry, count)
  rows[#rows + 1] = number
  rows[#rows + 1] = entry[1]
  rows[#rows + 1] = count
  rows[#rows + 1] = entry[2][2]
  taken = taken + 1
end

local function take(queue, step)
  local stream, number = key_of(queue, 2 + step), (queue - 1) * steps + step
  local back = pending(stream, '-', '+', limit - taken, RETURNED)
  if not back then
    wrong[#wrong + 1] = stream
    return
  end
  if #back > 0 then
    local ids, counts = {}, {}
    for _, row in ipairs(back) do
      ids[#ids + 1] = row[1]
      counts[row[1]] = row[4]
    end
    -- Lua can hand on some thousand values at once
    for first = 1, #ids, PAGE do
      local last = math.min(first + PAGE - 1, #ids)
      local found = redis.call('XCLAIM', stream, GROUP, consumer, 0, unpack(ids, first, last))
      for _, entry in ipairs(found) do
        if entry and entry[2] then add(number, entry, counts[entry[1]] + 1) end
      end
    end
  end
  if taken < limit and redis.call('EXISTS', stream) == 1 then
    local found = redis.call('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', limit - taken,
      'STREAMS', stream, '>')
    if found then
      for _, entry in ipairs(found[1][2]) do add(number, entry, 1) end
    end
  end
end

for step = 1, steps do
  for queue = 1, queues do
    if taken < limit then take(queue, step) end
  end
end

if taken > 0 then
  resign(queues * width, registrations)
  if taken >= limit then
    for queue = 1, queues do
      if redis.call('EXISTS', key_of(queue, 1)) == 1 then
        for step = 1, steps do
          if has_work(key_of(queue, 2 + step)) then
            ring(key_of(queue, 1), 2)
            break
          end
        end
      end
    end
  end
end
return {rows, wrong, soon or -1}
