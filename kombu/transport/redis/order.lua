-- Put a message back at the head of its list, behind those that were there before it.
--
-- What comes back carries the number of its first claim (x-claim-order in delivery_info), so
-- that messages which return one by one still stand in the order they were published in.
local MOST = 4000

local function order_of(envelope)
  return string.match(envelope, '"x%-claim%-order": "(%d+)"')
end

-- expiring: the key that says how long its queue lives unused, or nil
local function give_back(list, envelope, expiring)
  local order = order_of(envelope) or ''
  local function is_older(place)
    local other = redis.call('LINDEX', list, -place)
    other = other and order_of(other)
    return other and other < order
  end
  -- how many are: they stand in order, so look at twice as many, then at half of the rest
  local older, others = 0, 1
  while others <= MOST and is_older(others) do older, others = others, others * 2 end
  others = math.min(others, MOST + 1)
  while others - older > 1 do
    local middle = math.floor((older + others) / 2)
    if is_older(middle) then older = middle else others = middle end
  end
  local heads = {}
  if older > 0 then
    heads = redis.call('LRANGE', list, -older, -1)
    redis.call('LTRIM', list, 0, -1 - older)
  end
  local length = redis.call('RPUSH', list, envelope, unpack(heads))
  if length == older + 1 and expiring then
    -- a key that begins anew knows nothing of its end
    local lasts = redis.call('GET', expiring)
    if lasts then redis.call('PEXPIRE', list, lasts) end
  end
end
