#!lua
--include stream
--include stream_length
-- Put one message into a queue that refuses what is above its maximum length.
--
-- KEYS  the queue's streams
-- ARGV  1 which stream  2 most messages or -1  3 most bytes or -1  4 envelope
-- Returns 1, or 0 when the queue is full
local most, most_bytes = tonumber(ARGV[2]), tonumber(ARGV[3])
local count, bytes = 1, size_of(ARGV[4])
for _, stream in ipairs(KEYS) do
  if redis.call('EXISTS', stream) == 1 then
    count = count + waiting(stream)
    if most_bytes >= 0 then
      each_size(stream, function(size)
        bytes = bytes + size
        return bytes <= most_bytes
      end)
    end
  end
end
if (most >= 0 and count > most) or (most_bytes >= 0 and bytes > most_bytes) then return 0 end
redis.call('XADD', KEYS[tonumber(ARGV[1])], '*', 'm', ARGV[4])
return 1
