-- anyway: run one small write also when the server is full.
--
-- KEYS     key
-- ARGV     the command's words before the key, as one text ("HSET", "XGROUP CREATE"), then what follows the key
-- returns  what the command does
--
-- Under `noeviction` a full server refuses what takes memory, but not in a script that has begun with a write which
-- takes none (PERSIST): so leases are kept, starts counted and workers started while the store is drained.

redis.call('PERSIST', KEYS[1])
local words = {}
for word in ARGV[1]:gmatch('%S+') do words[#words + 1] = word end
words[#words + 1] = KEYS[1]
for i = 2, #ARGV do words[#words + 1] = ARGV[i] end
return redis.call(unpack(words))
