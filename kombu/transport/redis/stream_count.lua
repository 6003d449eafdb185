#!lua flags=allow-oom
--include stream
--include stream_length
-- Count, or drop, the messages of a queue that nobody holds.
--
-- KEYS  the queue's streams   ARGV  1 '1': drop them
local total = 0
for _, stream in ipairs(KEYS) do
  if redis.call('EXISTS', stream) == 1 then
    total = total + waiting(stream)
    if ARGV[1] == '1' then
      for _, id in ipairs(returned(stream)) do
        redis.call('XACK', stream, GROUP, id)
        redis.call('XDEL', stream, id)
      end
      repeat
        local ready = redis.call('XRANGE', stream, '(' .. last_delivered(stream), '+', 'COUNT', PAGE)
        for _, entry in ipairs(ready) do redis.call('XDEL', stream, entry[1]) end
      until #ready < PAGE
    end
  end
end
return total
