-- settle: apply a batch of transitions, each whole or not at all (law 1: one settle per delivery, atomic).
--
-- KEYS     every key that the batch names, each once; KEYS[1] is the counters' hash
-- ARGV[1]  msgpack: a list of transitions {checks, claims, effects}; an item of these is {name, key, …},
--          where key is one of KEYS. Message data inside is an opaque string.
-- returns  one integer per transition: 1 applied, 0 already handled by somebody else, -1 a check failed
--          (nothing was written; the delivery stays where it is)
--
-- A transition's checks only read. Its claims write, and each says whether it took its thing out of its
-- place; the effects happen when at least one claim did. (XACK returns 1 only once for an entry, whoever asks:
-- that is what makes a delivery settle once.) No claims at all: the checks alone decide.

-- with turns
-- with clock

local call = redis.call
local now

local counts = {}
local function count(field, by)
  if field ~= '' then counts[field] = (counts[field] or 0) + by end
end

-- `unpack` fails between 7,000 and 8,000 items.
local function chunked(command, key, items, first)
  for i = first, #items, 1000 do call(command, key, unpack(items, i, math.min(i + 999, #items))) end
end

local gone = {} -- by queue, the settled entries
local lines = {} -- by stream, the lines of the settle log
local check, claim, effect = {}, {}, {}

-- {version, flow, expected}: the flow's record is the one that was read ('0': there is none)
function check.version(c)
  return (call('HGET', c[2], 'version') or '0') == c[3]
end

-- {awaited, flow, run, step}: the flow goes on, and this step of this run was sent and has no result yet
function check.awaited(c)
  local was = call('HMGET', c[2], 'ended', 'run', 'step:' .. c[4], 'result:' .. c[4])
  return not was[1] and was[2] == c[3] and was[3] and (was[4] or '') == ''
end

-- {still, hash, field, value}: the field is what was read ('': there is none)
function check.still(c)
  return (call('HGET', c[2], c[3]) or '') == c[4]
end

-- {unpaused, pauses, 'type:TYPE', 'key:KEY'}: flows of this type, and of this key, go on
function check.unpaused(c)
  if call('EXISTS', c[2]) == 0 then return true end
  local paused = call('HMGET', c[2], c[3], c[4])
  return not (paused[1] or paused[2])
end

-- {open, flow}: this flow has begun, and has not ended
function check.open(c)
  local was = call('HMGET', c[2], 'type', 'ended')
  return was[1] and not was[2]
end

-- {turn, gate, place, origin}: it is still this message's turn
function check.turn(c)
  return turns.owner(c[2], c[3]) == c[4]
end

-- {ack, stream, group, entry, queue?, counter}: settle a delivery; entries of queues go
function claim.ack(c)
  if call('XACK', c[2], c[3], c[4]) == 0 then return false end
  if c[5] == 1 then
    gone[c[2]] = gone[c[2]] or {}
    table.insert(gone[c[2]], c[4])
  end
  count(c[6], 1)
  return true
end

-- {fire, zset, member}: take something that was scheduled
function claim.fire(c)
  return call('ZREM', c[2], c[3]) == 1
end

-- {take, stream, entry}: take an entry that no group reads, as a failure
function claim.take(c)
  return call('XDEL', c[2], c[3]) == 1
end

-- {signal, flow, id, value}: a signal of this id is new to the flow
function claim.signal(c)
  return call('HSETNX', c[2], 'signal:' .. c[3], c[4]) == 1
end

-- take a step that waits to hear an event out of the index; count what events are matched by
local function unlisten(waits, matches, member, described)
  if call('ZREM', waits, member) == 0 then return false end
  if call('HINCRBY', matches, described, -1) <= 0 then call('HDEL', matches, described) end
  return true
end

-- {hear, waits, matches, flow, member, described, run, step, newest, id, at, elsewhere}: this event is the first one that
-- the step hears. Not if it was broadcast before the step waited, nor if the flow has heard it before: then only steps up
-- to the `newest` of that time may, so that one that comes again is not taken for another. The clocks of other shards'
-- servers may be off by a second.
function claim.hear(c)
  local flow, step, id = c[4], c[8], 'heard:' .. c[10]
  local was = call('HMGET', flow, 'run', 'result:' .. step, 'wait:' .. step, id)
  if was[1] ~= c[7] or not was[3] or (was[2] or '') ~= '' then
    unlisten(c[2], c[3], c[5], c[6])
    return false
  end
  local here, there = was[3]:match('^(%d+) (%d+)$')
  local since = c[12] == 1 and there - 1000 or tonumber(here)
  if c[11] < since or (was[4] and tonumber(step) > tonumber(was[4])) then return false end
  if not unlisten(c[2], c[3], c[5], c[6]) then return false end
  call('HDEL', flow, 'wait:' .. step)
  call('HSETNX', flow, id, c[9])
  return true
end

-- {add, stream, counter, fields}
function effect.add(e)
  call('XADD', e[2], '*', unpack(e[4]))
  count(e[3], 1)
end

-- {log, stream, line}: the lines of a batch share entries
function effect.log(e)
  lines[e[2]] = lines[e[2]] or {}
  table.insert(lines[e[2]], e[3])
end

-- {schedule, zset, delay (ms), member}
function effect.schedule(e)
  now = now or clock.now(KEYS[1])
  call('ZADD', e[2], now + e[3], e[4])
end

-- {cancel, zset, member}
function effect.cancel(e)
  call('ZREM', e[2], e[3])
end

-- which of these fields of a hash are '' (true), something else (false) or missing (nil)
local function empty(hash, fields)
  local found = {}
  for first = 1, #fields, 1000 do
    local values = call('HMGET', hash, unpack(fields, first, math.min(first + 999, #fields)))
    for i, value in ipairs(values) do
      if value then found[fields[first + i - 1]] = value == '' end
    end
  end
  return found
end

-- {await, flow, queue, fields, need, older, dropped, counter, wake-up}: write the fields of the flow's record; it
-- waits for `need` results. `fields` has an empty result:N for each step whose command goes out just now; the
-- result of an `older` step may be there already and counts at once; a `dropped` one is not waited for any more.
function effect.await(e)
  local flow, fields, need, older, dropped = e[2], e[4], e[5], e[6], e[7]
  local found = #older > 0 and empty(flow, older)
  for _, result in ipairs(older) do
    if found[result] == false then
      need = need - 1
    else
      fields[#fields + 1] = result
      fields[#fields + 1] = ''
    end
  end
  fields[#fields + 1] = 'need'
  fields[#fields + 1] = need
  chunked('HSET', flow, fields, 1)
  found = #dropped > 0 and empty(flow, dropped)
  for _, result in ipairs(dropped) do
    if found[result] then call('HDEL', flow, result) end
  end
  if need <= 0 then effect.add({ 'add', e[3], e[8], e[9] }) end
end

-- {result, flow, queue, run, step, value, counter, wake-up}: the step is acknowledged (or timed out). Only the
-- first result of a step of the present run counts; the last one awaited puts one wake-up on the queue.
function effect.result(e)
  local flow, result, stuck = e[2], 'result:' .. e[5], 'stuck:' .. e[5]
  local was = call('HMGET', flow, 'run', result, 'need', stuck)
  if was[1] ~= e[4] then return end
  local awaited = was[2] == ''
  if was[2] and not awaited then
    call('HINCRBY', flow, 'late', 1)
    return
  end
  if awaited then
    call('HSET', flow, result, e[6], 'need', was[3] - 1)
  else
    call('HSET', flow, result, e[6])
  end
  if was[4] then call('HDEL', flow, stuck) end
  if awaited and was[3] == '1' then effect.add({ 'add', e[3], e[7], e[8] }) end
end

-- Two lists of a flow's record, words in one field each: the steps that wait for a signal of a name, and the signals of
-- that name that no step has taken.
local function keep(flow, field, words)
  if words == '' then call('HDEL', flow, field) else call('HSET', flow, field, words) end
end

local function push(flow, field, word)
  local words = call('HGET', flow, field)
  call('HSET', flow, field, words and words .. ' ' .. word or word)
end

-- the first signal goes to the first step that still has no result, as its result
local function meet(flow, queue, timers, name, counter, wake)
  local waiting, untaken = 'waiting:' .. name, 'untaken:' .. name
  local was = call('HMGET', flow, waiting, untaken, 'run')
  if not (was[1] and was[2]) then return end
  local step, others = nil, was[1]
  repeat
    step, others = others:match('^(%S+) ?(.*)$')
    local timer = step and call('HGET', flow, 'timer:' .. step)
    if timer then
      call('ZREM', timers, timer)
      call('HDEL', flow, 'timer:' .. step)
    end
  until not step or (call('HGET', flow, 'result:' .. step) or '') == ''
  keep(flow, waiting, others or '')
  if not step then return end
  local id, rest = was[2]:match('^(%S+) ?(.*)$')
  local value = call('HGET', flow, 'signal:' .. id)
  keep(flow, untaken, rest)
  call('HSET', flow, 'signal:' .. id, '')
  effect.result({ 'result', flow, queue, was[3], step, value, counter, wake })
end

-- {expect, flow, queue, timers, name, step, timer, counter, wake-up}: this step waits for a signal of the name (one may be
-- there already), until its timer (may be '') fires
function effect.expect(e)
  push(e[2], 'waiting:' .. e[5], e[6])
  if e[7] ~= '' then call('HSET', e[2], 'timer:' .. e[6], e[7]) end
  meet(e[2], e[3], e[4], e[5], e[8], e[9])
end

-- {arrive, flow, queue, timers, name, id, counter, wake-up}: a signal of the name has come; a step waits for it, or will
function effect.arrive(e)
  push(e[2], 'untaken:' .. e[5], e[6])
  meet(e[2], e[3], e[4], e[5], e[7], e[8])
end

-- {listen, waits, matches, topic, flow, member, described, step}: the step waits to hear what is broadcast from now on: on
-- this shard after the newest entry of the topic, on others after now
function effect.listen(e)
  if call('ZADD', e[2], 0, e[6]) == 1 then call('HINCRBY', e[3], e[7], 1) end
  local last = call('XREVRANGE', e[4], '+', '-', 'COUNT', 1)[1]
  local time = call('TIME')
  local at = time[1] * 1000 + math.floor(time[2] / 1000)
  local since = last and math.min(last[1]:match('^%d+') + 1, at) or at
  call('HSET', e[5], 'wait:' .. e[8], string.format('%.0f %.0f', since, at))
end

-- {unlisten, waits, matches, member, described}: the step waits no more
function effect.unlisten(e) unlisten(e[2], e[3], e[4], e[5]) end

-- {stuck, flow, run, step, reason}: say on the flow's record why the step has no result yet
function effect.stuck(e)
  local flow = e[2]
  local was = call('HMGET', flow, 'run', 'result:' .. e[4])
  if was[1] == e[3] and (was[2] or '') == '' then call('HSET', flow, 'stuck:' .. e[4], e[5]) end
end

-- {release, gate, held, own, place, origin}: this message is over; the next of its key may come
function effect.release(e)
  if turns.owner(e[2], e[5]) == e[6] then turns.pass(e[2], e[3], e[4], e[5]) end
end

-- {readmit, gate, held, own, place, origin, fields}: this message comes back, to the component's own queue; if its key was
-- released to others meanwhile, it is held, at its place in line
function effect.readmit(e)
  local gate, place, origin = e[2], e[5], e[6]
  local owner = turns.owner(gate, place)
  if owner and owner ~= origin then
    local line = '0'
    for i = 1, #e[7], 2 do
      if e[7][i] == 'line' then line = e[7][i + 1] end
    end
    call('ZADD', e[3], 0, place .. '\0' .. line .. '\0' .. cmsgpack.pack({ origin, e[7] }))
    return
  end
  if not owner then call('HSET', gate, place, origin .. '\0') end
  call('XADD', e[4], '*', unpack(e[7]))
end

-- {hset, hash, fields}, {hdel, hash, field …}, {rpush, list, value}, {zadd, zset, score, member}, {zrem, zset, member},
-- {unlink, key}
function effect.hset(e) chunked('HSET', e[2], e[3], 1) end
function effect.hdel(e) chunked('HDEL', e[2], e, 3) end
function effect.rpush(e) call('RPUSH', e[2], e[3]) end
function effect.zadd(e) call('ZADD', e[2], e[3], e[4]) end
function effect.zrem(e) call('ZREM', e[2], e[3]) end
function effect.unlink(e) call('UNLINK', e[2]) end

-- {keep, hash, copy, ms}: copy a hash, for so long
function effect.keep(e)
  call('COPY', e[2], e[3], 'REPLACE')
  call('PEXPIRE', e[3], e[4])
end

-- {overtake, flow}: who has loaded the record loads it again
function effect.overtake(e) call('HINCRBY', e[2], 'version', 1) end

-- {count, counters, field, by}
function effect.count(e) count(e[3], e[4]) end

local function apply(transition)
  for _, c in ipairs(transition[1]) do
    if not check[c[1]](c) then return -1 end
  end
  local mine = #transition[2] == 0
  for _, c in ipairs(transition[2]) do
    mine = claim[c[1]](c) or mine
  end
  if not mine then return 0 end
  for _, e in ipairs(transition[3]) do effect[e[1]](e) end
  return 1
end

-- An error (out of memory, a foreign key in the way) ends the batch; what was applied before it is counted.
local results, failure = {}, nil
for i, transition in ipairs(cmsgpack.unpack(ARGV[1])) do
  local fine, code = pcall(apply, transition)
  if not fine then failure = code break end
  results[i] = code
end
for queue, entries in pairs(gone) do chunked('XDEL', queue, entries, 1) end
for stream, written in pairs(lines) do
  for i = 1, #written, 32 do
    call('XADD', stream, '*', 'e', table.concat(written, '', i, math.min(i + 31, #written)))
  end
end
for field, by in pairs(counts) do call('HINCRBY', KEYS[1], field, by) end
if failure then return type(failure) == 'table' and failure or redis.error_reply(failure) end
return results
