-- Wake up to count owners that wait for a queue; those that are gone are skipped.
local function ring(idle, count)
  while count > 0 do
    local first = redis.call('ZPOPMIN', idle)[1]
    if not first then return end
    if redis.call('PUBLISH', channel .. first, '1') > 0 then count = count - 1 end
  end
end

-- This owner is at work now: it stops waiting everywhere and hands its watches over.
local function resign(base, registrations)
  for index = 1, registrations do
    local idle, sentry = KEYS[base + 2 * index - 1], KEYS[base + 2 * index]
    redis.call('ZREM', idle, owner)
    if redis.call('GET', sentry) == owner then
      redis.call('DEL', sentry)
      ring(idle, 1)
    end
  end
end
