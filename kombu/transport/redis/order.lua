-- Put a message back at the head of its list, behind those that were there before it.
--
-- What comes back carries the number of its first claim (x-claim-order in delivery_info), so
-- that messages which return one by one still stand in the order they were published in.
local function give_back(list, envelope)
  local order = string.match(envelope, '"x%-claim%-order": "(%d+)"') or ''
  local older = {}
  for _ = 1, 1000 do
    local head = redis.call('LINDEX', list, -1)
    local other = head and string.match(head, '"x%-claim%-order": "(%d+)"')
    if not other or other >= order then break end
    older[#older + 1] = redis.call('RPOP', list)
  end
  redis.call('RPUSH', list, envelope)
  for index = #older, 1, -1 do redis.call('RPUSH', list, older[index]) end
end
