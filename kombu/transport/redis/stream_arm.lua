#!lua flags=allow-oom
--include stream
local function has_messages(first, last)
  for key = first, last do
    if has_work(KEYS[key]) then return true end
  end
  return false
end
--include sentry
