#!lua flags=allow-oom
local function has_messages(first, last)
  return redis.call('EXISTS', unpack(KEYS, first, last)) > 0
end
--include sentry
