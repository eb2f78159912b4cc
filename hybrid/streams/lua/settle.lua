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

local call = redis.call
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local counts = {}
local function count(field, by)
  if field ~= '' then counts[field] = (counts[field] or 0) + by end
end

-- `unpack` fails between 7,000 and 8,000 items.
local function chunked(command, key, items, first)
  for i = first, #items, 1000 do call(command, key, unpack(items, i, math.min(i + 999, #items))) end
end

local check, claim, effect = {}, {}, {}

-- {version, flow, expected}: the flow's record is the one that was read ('0': there is none)
function check.version(c)
  return (call('HGET', c[2], 'version') or '0') == c[3]
end

-- {ack, stream, group, entry, queue?, counter}: settle a delivery; entries of queues go
function claim.ack(c)
  if call('XACK', c[2], c[3], c[4]) == 0 then return false end
  if c[5] == 1 then call('XDEL', c[2], c[4]) end
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

-- {fresh, seen:new, seen:old, id, window, limit}: an id not sent within the window (ms). Two sets rotate
-- when the newer one is as old as the window or holds `limit` ids (looked at once a batch); both expire by
-- themselves.
local rotated = false
function claim.fresh(c)
  local new, old, window = c[2], c[3], c[5]
  if call('SISMEMBER', old, c[4]) == 1 or call('SADD', new, c[4]) == 0 then return false end
  if rotated then return true end
  rotated = true
  local left = call('PTTL', new)
  if left < 0 then
    call('PEXPIRE', new, 2 * window)
  elseif left <= window or call('SCARD', new) > c[6] then
    call('RENAME', new, old)
    call('PEXPIRE', old, window)
    rotated = false -- the next one makes a new set
  end
  return true
end

-- {add, stream, counter, fields}
function effect.add(e)
  call('XADD', e[2], '*', unpack(e[4]))
  count(e[3], 1)
end

-- {log, stream, limit, entry}
function effect.log(e)
  call('XADD', e[2], 'MAXLEN', '~', e[3], '*', 'e', e[4])
end

-- {schedule, zset, delay (ms), member}
function effect.schedule(e)
  call('ZADD', e[2], now + e[3], e[4])
end

-- {cancel, zset, member}
function effect.cancel(e)
  call('ZREM', e[2], e[3])
end

-- {await, flow, queue, steps, need, counter, wake-up}: the flow waits for `need` of these steps. One whose
-- result is there already counts at once.
function effect.await(e)
  local flow, need = e[2], e[5]
  for _, step in ipairs(e[4]) do
    if call('HEXISTS', flow, 'result:' .. step) == 1 then
      need = need - 1
    else
      call('HSET', flow, 'wait:' .. step, '1')
    end
  end
  call('HSET', flow, 'need', need)
  if need <= 0 then effect.add({ 'add', e[3], e[6], e[7] }) end
end

-- {result, flow, queue, run, step, value, counter, wake-up}: the step is acknowledged (or timed out). Only the
-- first result of a step of the present run counts; the last one awaited puts one wake-up on the queue.
function effect.result(e)
  local flow, step = e[2], e[5]
  if call('HGET', flow, 'run') ~= e[4] then return end
  if call('HSETNX', flow, 'result:' .. step, e[6]) == 0 then
    call('HINCRBY', flow, 'late', 1)
    return
  end
  call('HDEL', flow, 'stuck:' .. step)
  if call('HDEL', flow, 'wait:' .. step) == 1 and call('HINCRBY', flow, 'need', -1) == 0 then
    effect.add({ 'add', e[3], e[7], e[8] })
  end
end

-- {stuck, flow, run, step, reason}: say on the flow's record why the step has no result yet
function effect.stuck(e)
  local flow = e[2]
  if call('HGET', flow, 'run') == e[3] and call('HEXISTS', flow, 'result:' .. e[4]) == 0 then
    call('HSET', flow, 'stuck:' .. e[4], e[5])
  end
end

-- {hset, hash, fields}, {hdel, hash, field …}, {rpush, list, value}, {zadd, zset, score, member}, {zrem, zset, member}
function effect.hset(e) chunked('HSET', e[2], e[3], 1) end
function effect.hdel(e) chunked('HDEL', e[2], e, 3) end
function effect.rpush(e) call('RPUSH', e[2], e[3]) end
function effect.zadd(e) call('ZADD', e[2], e[3], e[4]) end
function effect.zrem(e) call('ZREM', e[2], e[3]) end

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
for field, by in pairs(counts) do call('HINCRBY', KEYS[1], field, by) end
if failure then return type(failure) == 'table' and failure or redis.error_reply(failure) end
return results
