-- What a message counts for x-max-length-bytes: its body, as RabbitMQ.
local function body_of(raw)
  -- as it is nearly always written, which is found out much sooner than by decoding it
  local _, last, body = string.find(raw, '^{"body": "([^"\\]*)"')
  if body then return body, string.find(raw, '"body_encoding": "base64"', last, true) end
  local ok, envelope = pcall(cjson.decode, raw)
  if not ok or type(envelope) ~= 'table' or type(envelope['body']) ~= 'string' then return '' end
  local properties = envelope['properties']
  return envelope['body'], type(properties) == 'table' and properties['body_encoding'] == 'base64'
end

local function size_of(raw)
  local body, encoded = body_of(raw)
  if not encoded then return #body end
  local _, padding = string.gsub(string.sub(body, -2), '=', '')
  return math.floor(#body * 3 / 4) - padding
end
