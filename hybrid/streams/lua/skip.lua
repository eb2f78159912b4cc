-- skip: let time pass at once, in a test store.
--
-- KEYS     store, counters
-- ARGV     ms
-- returns  1, or 0 when this is no test store: nothing was changed

if not redis.call('HGET', KEYS[1], 'test') then return 0 end
redis.call('HINCRBY', KEYS[2], 'skipped', ARGV[1])
return 1
