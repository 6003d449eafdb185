-- What scripts about streams share. Catalogue of the keys (names as in claim.lua):
--
--   P_kombu.stream.Q, ...<sep>3 ...   stream  one per priority step; field m: the envelope
--   P_kombu.delayed.Q                 zset    step : nonce : envelope -> unix time it is ready
--   P_kombu.idle.Q, P_kombu.sentry.Q, P_kombu.quarantine.Q, P_kombu.queue.Q   as in claim.lua
--
-- One consumer group, 'kombu'. A consumer is an owner; its name ends in ~ and its lease in
-- milliseconds. What was given back, or taken from an owner that is gone, belongs to the
-- consumer '_returned', from which claims take first, so that it keeps its place.
local GROUP, RETURNED = 'kombu', '_returned'

local function pending(stream, ...)
  local rows = redis.pcall('XPENDING', stream, GROUP, ...)
  if rows.err then
    if string.find(rows.err, 'WRONGTYPE', 1, true) then return nil end
    if redis.call('EXISTS', stream) == 0 then return {} end
    redis.call('XGROUP', 'CREATE', stream, GROUP, '0')
    return {}
  end
  return rows
end

local function last_delivered(stream)
  local groups = redis.pcall('XINFO', 'GROUPS', stream)
  if groups.err then return '0-0' end
  for _, group in ipairs(groups) do
    local found = {}
    for index = 1, #group, 2 do found[group[index]] = group[index + 1] end
    if found['name'] == GROUP then return found['last-delivered-id'] end
  end
  return '0-0'
end

-- the owners a group knows: {name, pending, idle} each
local function consumers(stream)
  local rows = redis.pcall('XINFO', 'CONSUMERS', stream, GROUP)
  local found = {}
  if rows.err then return found end
  for _, row in ipairs(rows) do
    local fields = {}
    for index = 1, #row, 2 do fields[row[index]] = row[index + 1] end
    found[#found + 1] = fields
  end
  return found
end

-- whether a claim would find something
local function has_work(stream)
  if redis.call('EXISTS', stream) == 0 then return false end
  local back = pending(stream, '-', '+', 1, RETURNED)
  if back and #back > 0 then return true end
  return #redis.call('XRANGE', stream, '(' .. last_delivered(stream), '+', 'COUNT', 1) > 0
end
