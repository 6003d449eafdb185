#!lua flags=allow-oom
--include stream
-- Count, or drop, the messages of a queue that nobody holds.
--
-- KEYS  the queue's streams   ARGV  1 '1': drop them
local total = 0
for _, stream in ipairs(KEYS) do
  if redis.call('EXISTS', stream) == 1 then
    if ARGV[1] == '1' then
      local back = pending(stream, '-', '+', 100000, RETURNED) or {}
      local ready = redis.call('XRANGE', stream, '(' .. last_delivered(stream), '+')
      total = total + #back + #ready
      for _, row in ipairs(back) do
        redis.call('XACK', stream, GROUP, row[1])
        redis.call('XDEL', stream, row[1])
      end
      for _, entry in ipairs(ready) do redis.call('XDEL', stream, entry[1]) end
    else
      local held = 0
      local summary = pending(stream) or {}
      for _, each in ipairs(summary[4] or {}) do
        if each[1] ~= RETURNED then held = held + tonumber(each[2]) end
      end
      total = total + redis.call('XLEN', stream) - held
    end
  end
end
return total
