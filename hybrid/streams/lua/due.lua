-- due: look at what is due in several schedules. Nothing is taken: `settle` does, with the claim `fire`.
--
-- KEYS     zsets
-- ARGV     most members per zset
-- returns  per zset the list of due members

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local due = {}
for i, key in ipairs(KEYS) do
  due[i] = redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, ARGV[1])
end
return due
