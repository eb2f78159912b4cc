-- load: read whole hashes in one round trip.
--
-- KEYS     hashes
-- returns  per hash {field, value, …}, empty when there is none

local hashes = {}
for i, key in ipairs(KEYS) do hashes[i] = redis.call('HGETALL', key) end
return hashes
