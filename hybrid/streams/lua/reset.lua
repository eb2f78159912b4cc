-- reset: move a group of a topic, and the books with it.
--
-- KEYS     topic, groups' hash, counters' hash, starts' hash, the group's gate, what is held, its own queue
-- ARGV     group, TOPIC|GROUP, the id after which it reads on (0 the beginning, $ the end), 1 to do it, 0 to tell only
-- returns  {how many deliveries come again, how many are passed over, its position}; false when there is no such group
--
-- Backwards: what it was given after that place waits again, and `base` makes room for it in the ledger. What is pending
-- there is taken out of work: it comes again, so an outcome that is under way finds that it is not the first, and changes
-- nothing. Forwards: what is passed over is counted as discarded:GROUP. What is pending before the place is settled as
-- it is. What the group was given before is replayed from now on: live:TOPIC|GROUP says which (see `register`).
--
-- What comes again or is passed over is counted one by one, 3 s for a million; from the beginning, what waits instead.

-- with turns

local call = redis.call
local topic, group, field = KEYS[1], ARGV[1], ARGV[2]

local function parts(id)
  local ms, seq = id:match('^(%d+)%-?(%d*)$')
  return tonumber(ms), tonumber(seq) or 0
end
local function before(a, b)
  local am, as = parts(a)
  local bm, bs = parts(b)
  return am < bm or (am == bm and as < bs)
end
local function shift(id)
  local ms, seq = parts(id)
  if seq > 0 then return string.format('%.0f-%.0f', ms, seq - 1) end
  return string.format('%.0f-9007199254740991', ms - 1)
end
local function count(after, upto)
  local total, range = 0, call('XRANGE', topic, '(' .. after, upto, 'COUNT', 1000)
  while #range > 0 do
    total = total + #range
    range = call('XRANGE', topic, '(' .. range[#range][1], upto, 'COUNT', 1000)
  end
  return total
end

if call('EXISTS', topic) == 0 then return false end
local last
for _, info in ipairs(call('XINFO', 'GROUPS', topic)) do
  local fields = {}
  for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
  if fields.name == group then last = fields['last-delivered-id'] end
end
if not last then return false end
local newest = call('XREVRANGE', topic, '+', '-', 'COUNT', 1)[1]
newest = newest and before(last, newest[1]) and newest[1] or last

local to = ARGV[3] == '0' and '0-0' or ARGV[3]
if to == '$' or before(newest, to) then to = newest end
local back = before(to, last)
local again = 0
if back then
  local first = call('XRANGE', topic, '-', '+', 'COUNT', 1)[1]
  if first and before(to, first[1]) then again = call('XLEN', topic) - count(last, '+')
  else again = count(to, last) end
end
local passed = before(last, to) and count(last, to) or 0
if ARGV[4] ~= '1' then return { again, passed, to } end

call('PERSIST', KEYS[2]) -- a write that takes no memory: so a full server lets it go on
local taken, pending = 0, back and call('XPENDING', topic, group, '(' .. to, '+', 1000) or {}
while #pending > 0 do
  for _, entry in ipairs(pending) do
    taken = taken + call('XACK', topic, group, entry[1])
    call('HDEL', KEYS[4], field .. '|' .. entry[1])
  end
  pending = call('XPENDING', topic, group, '(' .. to, '+', 1000)
end
call('XGROUP', 'SETID', topic, group, to)
if passed > 0 then -- what was taken out of work before, and is passed over now, has no turn any more
  turns.pass_all(KEYS[5], KEYS[6], KEYS[7], field:match('^(.*)|'), function(entry)
    return before(last, entry) and not before(to, entry)
  end)
end
if not call('HGET', KEYS[2], 'mark:' .. field) then return { again, passed, to } end

local oldest = call('XPENDING', topic, group)[2]
call('HSET', KEYS[2], 'mark:' .. field, oldest and shift(oldest) or to)
if back then
  local from, upto = to, last
  local was = call('HGET', KEYS[2], 'live:' .. field)
  if was then
    local first, till = was:match('^(%S+) (%S+)$')
    if before(to, till) then
      if before(first, from) then from = first end
      if before(upto, till) then upto = till end
    end
  end
  call('HSET', KEYS[2], 'live:' .. field, from .. ' ' .. upto)
  call('HINCRBY', KEYS[2], 'base:' .. field, taken - again)
end
if passed > 0 then call('HINCRBY', KEYS[3], 'discarded:' .. group, passed) end
return { again, passed, to }
