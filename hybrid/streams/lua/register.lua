-- register: make sure that a group of a topic exists and is counted.
--
-- KEYS     topic, groups' hash, counters' hash
-- ARGV     group, TOPIC|GROUP, start (the id after which it reads, 0 or $), the topic's counter
-- returns  0 it was there, 1 it is new, 2 it was missing and is re-created at its low-water mark
--
-- The mark is kept outside the group, by `retain`, so that a lost group does not lose its place. A start behind the last
-- entry is the end ($): what comes in the meantime must not be nowhere. What a new group finds on the topic is history:
-- live:TOPIC|GROUP holds two ids, and what stands after the first, up to the second, is replayed to it (see `reset`).

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

local ahead = 0
if not mark and start == '0' then
  ahead = redis.call('XLEN', topic)
elseif not mark and start ~= '$' then
  local range = redis.call('XRANGE', topic, '(' .. start, '+', 'COUNT', 1000)
  while #range > 0 do
    ahead = ahead + #range
    range = redis.call('XRANGE', topic, '(' .. range[#range][1], '+', 'COUNT', 1000)
  end
  if ahead == 0 then start = '$' end
end

if not exists then redis.call('XGROUP', 'CREATE', topic, group, start, 'MKSTREAM') end
if mark then return 2 end
local entered = tonumber(redis.call('HGET', KEYS[3], ARGV[4]) or '0')
local last = redis.call('XREVRANGE', topic, '+', '-', 'COUNT', 1)[1]
last = last and last[1] or '0'
if start == '$' then start = last end
redis.call('HSET', KEYS[2], 'mark:' .. field, start, 'base:' .. field, entered - ahead)
if ahead > 0 then redis.call('HSET', KEYS[2], 'live:' .. field, start .. ' ' .. last) end
return 1
