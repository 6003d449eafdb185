-- What a message counts for x-max-length-bytes: its body, as RabbitMQ.
local function size_of(raw)
  local ok, envelope = pcall(cjson.decode, raw)
  if not ok or type(envelope) ~= 'table' or type(envelope['body']) ~= 'string' then return 0 end
  local body, properties = envelope['body'], envelope['properties']
  if type(properties) == 'table' and properties['body_encoding'] == 'base64' then
    local _, padding = string.gsub(string.sub(body, -2), '=', '')
    return math.floor(#body * 3 / 4) - padding
  end
  return #body
end
