-- remove: delete a group of a topic with its marks, and take what it had out of the books.
--
-- KEYS     topic, groups' hash, counters' hash, starts' hash, the component's own queue, later, failed, archived, held and
--          gate, its queues of repairs, then the leases of the group's consumers (none to ask nobody)
-- ARGV     group, TOPIC|GROUP, the topic's counter, 1 when the component goes with this, its last group, 1 to throw away
--          what the component has besides (own, later, failed, archived, held, repairs), then the counter of each queue of
--          repairs
-- returns  {1, entries that were waiting, pending, thrown away}; {0, …} there was no such group; {-1, …} a consumer lives;
--          {-2, 0, 0, how many} the component has something besides
--
-- What entered by this topic leaves the ledger with it: settled:GROUP is lowered by what was neither waiting nor pending.

local call = redis.call
local topic, group, field = KEYS[1], ARGV[1], ARGV[2]
local own, later, failed, archived, held, gate = KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local whole = ARGV[4] == '1'
local repairs = #ARGV - 5
for i = 11 + repairs, #KEYS do
  if call('EXISTS', KEYS[i]) == 1 then return { -1, 0, 0, 0 } end
end

local last, pending
if call('EXISTS', topic) == 1 then
  for _, info in ipairs(call('XINFO', 'GROUPS', topic)) do
    local fields = {}
    for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
    if fields.name == group then last, pending = fields['last-delivered-id'], fields.pending end
  end
end
local base = call('HGET', KEYS[2], 'base:' .. field)
if not last and not base then return { 0, 0, 0, 0 } end
local besides = 0
if whole then
  besides = call('XLEN', own) + call('ZCARD', later) + call('XLEN', failed) + call('XLEN', archived) + call('ZCARD', held)
  for i = 11, 10 + repairs do besides = besides + call('XLEN', KEYS[i]) end
end
if besides > 0 and ARGV[5] ~= '1' then return { -2, 0, 0, besides } end

local waiting = 0
if last then
  local range = call('XRANGE', topic, '(' .. last, '+', 'COUNT', 1000)
  while #range > 0 do
    waiting = waiting + #range
    range = call('XRANGE', topic, '(' .. range[#range][1], '+', 'COUNT', 1000)
  end
  local after = '-'
  local given = call('XPENDING', topic, group, after, '+', 1000)
  while #given > 0 do
    for _, entry in ipairs(given) do call('HDEL', KEYS[4], field .. '|' .. entry[1]) end
    given = call('XPENDING', topic, group, '(' .. given[#given][1], '+', 1000)
  end
  call('XGROUP', 'DESTROY', topic, group)
end
call('HDEL', KEYS[2], 'mark:' .. field, 'base:' .. field, 'live:' .. field)

local function counter(name) return tonumber(call('HGET', KEYS[3], name) or '0') end
if base then
  local had = counter(ARGV[3]) - base - waiting - (pending or 0)
  local left = counter('settled:' .. group) - had
  if whole then
    call('UNLINK', own, later, failed, archived, held, gate)
    left = left + besides + counter('expired:' .. group) + counter('discarded:' .. group) + counter('cut:' .. group)
    for i = 1, repairs do
      call('UNLINK', KEYS[10 + i])
      call('HDEL', KEYS[3], ARGV[5 + i])
    end
    call('HDEL', KEYS[3], 'expired:' .. group, 'discarded:' .. group, 'cut:' .. group, 'failed:' .. group)
  end
  if left == 0 then call('HDEL', KEYS[3], 'settled:' .. group)
  else call('HSET', KEYS[3], 'settled:' .. group, string.format('%.0f', left)) end
end
return { 1, waiting, pending or 0, besides }
