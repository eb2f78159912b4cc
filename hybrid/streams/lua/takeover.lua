-- takeover: claim what a dead consumer left pending in one stream, or delete it when it left nothing.
--
-- KEYS     stream, lease of the consumer
-- ARGV     group, the dead consumer, the consumer that takes over, most entries
-- returns  false when the lease exists (it lives), else the claimed entries {id, fields}
--
-- A consumer is deleted only when it is empty: deleting one with pending entries loses them. A dead host's
-- blocked reader may still be given entries after that, so the search for orphans never ends.

local stream, group, dead = KEYS[1], ARGV[1], ARGV[2]
if redis.call('EXISTS', KEYS[2]) == 1 then return false end
local pending = redis.call('XPENDING', stream, group, '-', '+', ARGV[4], dead)
if #pending == 0 then
  redis.call('XGROUP', 'DELCONSUMER', stream, group, dead)
  return {}
end
local ids = {}
for i, entry in ipairs(pending) do ids[i] = entry[1] end
return redis.call('XCLAIM', stream, group, ARGV[3], 0, unpack(ids))
