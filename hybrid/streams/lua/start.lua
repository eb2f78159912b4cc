-- start: count a start of a delivery that was taken over from a dead consumer; also when the server is full.
--
-- KEYS     starts
-- ARGV     the delivery's unit, the consumer that starts it
-- returns  how often it was started, this time included
--
-- The field holds the number and who started it last: a call whose reply was lost may be repeated and counts once.
-- It begins with a write that takes no memory (PERSIST), see anyway.lua.

redis.call('PERSIST', KEYS[1])
local known = redis.call('HGET', KEYS[1], ARGV[1]) or '0 '
local count, by = known:match('^(%d+) (.*)$')
if by == ARGV[2] then return tonumber(count) end
redis.call('HSET', KEYS[1], ARGV[1], (count + 1) .. ' ' .. ARGV[2])
return count + 1
