-- ledger: one consistent look at where everything of a group is (law 3: nothing is ever nowhere).
--
-- KEYS     counters' hash, groups' hash, then per group: later, failed, archived, held, its queues, its topics
-- ARGV[1]  the queues' group
-- ARGV[2]  msgpack: per group {name, number of queues, number of topics, channel names of queues and topics}
-- returns  msgpack: per group {name, later, failed, archived, held, settled, expired, discarded, cut, channels}; a channel
--          is {name, entered, waiting, pending, oldest entry's id or '', consumers}
--
-- What waits in a topic is counted one by one up to 20,000: Redis 7.0 forgets what a group has read when it loads its
-- append-only file, and the lag that it tells from then on is none, or wrong.
-- `entered` comes from counters that the scripts keep, the places are looked at: the two are independent.

local call = redis.call
local function counter(field) return tonumber(call('HGET', KEYS[1], field) or '0') end

local function info_of(stream, group)
  if call('EXISTS', stream) == 0 then return nil end
  for _, info in ipairs(call('XINFO', 'GROUPS', stream)) do
    local fields = {}
    for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
    if fields.name == group then return fields end
  end
end

local function queue(stream, name)
  local info = info_of(stream, ARGV[1])
  local length, pending = call('XLEN', stream), info and info.pending or 0
  local first = length > 0 and call('XRANGE', stream, '-', '+', 'COUNT', 1)[1][1] or ''
  return { name, counter('entered:' .. name), length - pending, pending, first, info and info.consumers or 0 }
end

local function topic(stream, name, group)
  local info = info_of(stream, group)
  if not info then return { name, 0, 0, 0, '', 0 } end
  local base = tonumber(call('HGET', KEYS[2], 'base:' .. name .. '|' .. group) or '0')
  local oldest = call('XPENDING', stream, group)[2]
  local after = '(' .. info['last-delivered-id']
  local waiting, range = 0, call('XRANGE', stream, after, '+', 'COUNT', 1000)
  while #range > 0 do
    waiting = waiting + #range
    if waiting >= 20000 and info.lag then waiting, range = info.lag, {}
    else range = call('XRANGE', stream, '(' .. range[#range][1], '+', 'COUNT', 1000) end
  end
  if not oldest then
    local first = waiting > 0 and call('XRANGE', stream, after, '+', 'COUNT', 1)[1]
    oldest = first and first[1] or ''
  end
  return { name, counter('entered:' .. name) - base, waiting, info.pending, oldest, info.consumers }
end

local groups, at = {}, 3
for i, group in ipairs(cmsgpack.unpack(ARGV[2])) do
  local name, channels = group[1], {}
  local later, failed = call('ZCARD', KEYS[at]), call('XLEN', KEYS[at + 1])
  local archived, held = call('XLEN', KEYS[at + 2]), call('ZCARD', KEYS[at + 3])
  at = at + 4
  for n = 1, group[2] + group[3] do
    channels[n] = (n <= group[2] and queue or topic)(KEYS[at], group[4][n], name)
    at = at + 1
  end
  groups[i] = { name, later, failed, archived, held, counter('settled:' .. name), counter('expired:' .. name),
    counter('discarded:' .. name), counter('cut:' .. name), channels }
end
return cmsgpack.pack(groups)
