-- register: make sure that a group of a topic exists and is counted.
--
-- KEYS     topic, groups' hash, counters' hash
-- ARGV     group, TOPIC|GROUP, start (an entry id, 0 or $), the topic's counter
-- returns  0 it was there, 1 it is new, 2 it was missing and is re-created at its low-water mark
--
-- The mark is kept outside the group, by `retain`, so that a lost group does not lose its place.

local topic, group, field = KEYS[1], ARGV[1], ARGV[2]
local exists = false
local mark = redis.call('HGET', KEYS[2], 'mark:' .. field)
if redis.call('EXISTS', topic) == 1 then
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', topic)) do
    exists = exists or info[2] == group
  end
end
if exists and mark then return 0 end
local start = mark or ARGV[3]
if not exists then redis.call('XGROUP', 'CREATE', topic, group, start, 'MKSTREAM') end
if mark then return 2 end
local entered = tonumber(redis.call('HGET', KEYS[3], ARGV[4]) or '0')
local ahead = 0
if start == '0' then ahead = redis.call('XLEN', topic)
elseif start ~= '$' then ahead = #redis.call('XRANGE', topic, '(' .. start, '+') end
if start == '$' then
  local last = redis.call('XREVRANGE', topic, '+', '-', 'COUNT', 1)[1]
  start = last and last[1] or '0'
end
redis.call('HSET', KEYS[2], 'mark:' .. field, start, 'base:' .. field, entered - ahead)
return 1
