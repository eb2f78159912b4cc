-- due: look at what is due in several schedules. Nothing is taken: `settle` does, with the claim `fire`.
--
-- KEYS     counters, then zsets
-- ARGV     most members per zset
-- returns  ms until the next one that is not due yet (-1 when nothing is scheduled besides), the ms that were skipped (see
--          skip.lua), then per zset the list of due members

-- with clock

local now = clock.now(KEYS[1])
local found, following = { -1, clock.skipped(KEYS[1]) }, nil
for i = 2, #KEYS do
  local key = KEYS[i]
  found[i + 1] = redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, ARGV[1])
  local later = redis.call('ZRANGEBYSCORE', key, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  if later and (not following or tonumber(later) < following) then following = tonumber(later) end
end
if following then found[1] = math.ceil(following - now) end
return found
