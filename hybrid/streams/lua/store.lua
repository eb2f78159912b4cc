-- store: create the store, or say how it was created.
--
-- KEYS     store
-- ARGV     format, shards, a random id for a new one, 1 to make it a test store: one in which time can be skipped
-- returns  {format, shards, id} as they stand

if redis.call('EXISTS', KEYS[1]) == 0 then
  local clock = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'format', ARGV[1], 'shards', ARGV[2], 'id', ARGV[3], 'created', clock[1])
  if ARGV[4] == '1' then redis.call('HSET', KEYS[1], 'test', '1') end
end
return redis.call('HMGET', KEYS[1], 'format', 'shards', 'id')
