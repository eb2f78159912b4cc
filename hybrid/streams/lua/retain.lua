-- retain: trim a topic to its limits, never past what a registered group has not settled.
--
-- KEYS     topic, groups' hash, counters' hash, then per registered group its gate, what is held, its own queue
-- ARGV     the topic's channel name, most entries, most bytes, most age (ms), hard limit (entries), then the registered groups
-- returns  {removed, cut}; {-1, 0} when a registered group is missing: nothing is trimmed then
--
-- Trims by MINID and at most 1,000 entries a call. Beyond the hard limit unsettled entries go too; they are
-- acknowledged for the groups that had them and counted as cut:GROUP; the turns that they had go on to the next of their
-- key, which may run while a worker is still at what was cut. It begins with a write that takes no memory
-- (PERSIST), so that a full server lets it go on: trimming is what makes room.

-- with turns

local topic, channel = KEYS[1], ARGV[1]
local length = redis.call('XLEN', topic)
if length == 0 then return { 0, 0 } end
redis.call('PERSIST', KEYS[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function parts(id)
  local ms, seq = id:match('^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local function before(a, b)
  local am, as = parts(a)
  local bm, bs = parts(b)
  return am < bm or (am == bm and as < bs)
end
local function shift(id, by)
  local ms, seq = parts(id)
  if seq + by >= 0 then return string.format('%.0f-%.0f', ms, seq + by) end
  return string.format('%.0f-9007199254740991', ms - 1)
end

local found = {}
for _, info in ipairs(redis.call('XINFO', 'GROUPS', topic)) do
  local last
  for i = 1, #info, 2 do if info[i] == 'last-delivered-id' then last = info[i + 1] end end
  found[info[2]] = last
end
local safe
for i = 6, #ARGV do
  local group, last = ARGV[i], found[ARGV[i]]
  if not last then return { -1, 0 } end
  local oldest = redis.call('XPENDING', topic, group)[2]
  local first = oldest or shift(last, 1)
  redis.call('HSET', KEYS[2], 'mark:' .. channel .. '|' .. group, oldest and shift(oldest, -1) or last)
  if not safe or before(first, safe) then safe = first end
end

local function boundary(excess)
  local range = redis.call('XRANGE', topic, '-', '+', 'COUNT', math.min(excess, 1000) + 1)
  return range[#range][1]
end

local most, bytes = tonumber(ARGV[2]), tonumber(ARGV[3])
local used = redis.call('MEMORY', 'USAGE', topic)
if used > bytes then most = math.min(most, math.floor(length * bytes / used)) end
local limit
if length > most then limit = boundary(length - most) end
local age = string.format('%.0f-0', math.max(now - tonumber(ARGV[4]), 0))
if not limit or before(limit, age) then limit = age end
-- mostly nothing is to go, and a thousand entries are not read to find that
local oldest = redis.call('XRANGE', topic, '-', '+', 'COUNT', 1)[1]
if length > 1000 and before(oldest[1], limit) and before(boundary(1000), limit) then limit = boundary(1000) end
if safe and before(safe, limit) then limit = safe end
local removed = redis.call('XTRIM', topic, 'MINID', limit)

length = length - removed
local hard, cut = tonumber(ARGV[5]), 0
if length > hard then
  limit = boundary(length - hard)
  for i = 6, #ARGV do
    local group, lost, gone = ARGV[i], 0, {}
    for _, entry in ipairs(redis.call('XPENDING', topic, group, '-', '(' .. limit, 2000)) do
      lost, gone[entry[1]] = lost + redis.call('XACK', topic, group, entry[1]), true
    end
    if before(found[group], limit) then
      local unread = redis.call('XRANGE', topic, '(' .. found[group], '(' .. limit)
      for _, entry in ipairs(unread) do gone[entry[1]] = true end
      lost = lost + #unread
      redis.call('XGROUP', 'SETID', topic, group, shift(limit, -1))
    end
    if lost > 0 then
      local gate, held, own = unpack(KEYS, 3 * i - 14, 3 * i - 12)
      turns.pass_all(gate, held, own, channel, function(entry) return gone[entry] end)
    end
    redis.call('HINCRBY', KEYS[3], 'cut:' .. group, lost)
    cut = cut + lost
  end
  removed = removed + redis.call('XTRIM', topic, 'MINID', limit)
end
return { removed, cut }
