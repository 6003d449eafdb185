-- How much of a stream nobody holds: what was never delivered, and what came back.
--include size
local PAGE = 1000

-- the number of messages
local function waiting(stream)
  local held = 0
  for _, each in ipairs((pending(stream) or {})[4] or {}) do
    if each[1] ~= RETURNED then held = held + tonumber(each[2]) end
  end
  return redis.call('XLEN', stream) - held
end

-- the ids of what came back, oldest first
local function returned(stream)
  local ids, from = {}, '-'
  while true do
    local rows = pending(stream, from, '+', PAGE, RETURNED) or {}
    for _, row in ipairs(rows) do ids[#ids + 1] = row[1] end
    if #rows < PAGE then return ids end
    from = '(' .. rows[PAGE][1]
  end
end

-- the sizes of all, newest first, until visit returns false; whether it never did
local function each_size(stream, visit)
  local first, last = '(' .. last_delivered(stream), '+'
  while true do
    local entries = redis.call('XREVRANGE', stream, last, first, 'COUNT', PAGE)
    for _, entry in ipairs(entries) do
      if not visit(size_of(entry[2][2])) then return false end
    end
    if #entries < PAGE then break end
    last = '(' .. entries[PAGE][1]
  end
  local ids = returned(stream)
  for index = #ids, 1, -1 do
    for _, entry in ipairs(redis.call('XRANGE', stream, ids[index], ids[index])) do
      if not visit(size_of(entry[2][2])) then return false end
    end
  end
  return true
end
