-- send: store messages from outside, each once per id within a window.
--
-- KEYS     counters, seen:new, seen:old, scheduled, then every stream that is named
-- ARGV     window (ms), most ids to remember, msgpack: a list of {id, stream, counter, fields}, or for what is sent later
--          {id, stream, counter, fields, 'at' or 'after', ms}: at this time, or so long after now, by the server's clock
-- returns  per message 1 stored, 0 its id was seen before
--
-- Two sets of ids rotate when the newer one is as old as the window or holds as many as it may; both expire by
-- themselves. An error (out of memory, a foreign key in the way) ends the batch; what was stored before it is
-- remembered and counted.

-- with clock

local call = redis.call
local new, old, window, most = KEYS[2], KEYS[3], tonumber(ARGV[1]), tonumber(ARGV[2])
local messages = cmsgpack.unpack(ARGV[3])

-- Put a message into its channel and count it; as long as it is not due, put it whole among what is scheduled, where it
-- has not entered yet.
local counts = {}
local function put(id, stream, counter, fields, how, ms)
  local now = how and clock.now(KEYS[1])
  local due = how == 'after' and now + ms or ms
  if how and due > now then
    return redis.pcall('ZADD', KEYS[4], due, id .. '\0' .. cmsgpack.pack({ stream, counter, fields }))
  end
  local added = redis.pcall('XADD', stream, '*', unpack(fields))
  if type(added) ~= 'table' then counts[counter] = (counts[counter] or 0) + 1 end
  return added
end

local left = call('PTTL', new)
if left >= 0 and (left <= window or call('SCARD', new) + #messages > most) then
  call('UNLINK', old)
  call('RENAME', new, old)
  call('PEXPIRE', old, window)
  left = -2
end

local ids, results, stored, failure = {}, {}, {}, nil
for i, message in ipairs(messages) do ids[i] = message[1] end
local before = call('SMISMEMBER', old, unpack(ids))
local lately = left == -2 and {} or call('SMISMEMBER', new, unpack(ids))
local seen = {}
for i, id in ipairs(ids) do
  results[i] = 0
  if before[i] == 0 and lately[i] ~= 1 and not seen[id] then
    local added = put(unpack(messages[i]))
    if type(added) == 'table' then failure = added break end
    seen[id] = true
    stored[#stored + 1] = id
    results[i] = 1
  end
end
if #stored > 0 then call('SADD', new, unpack(stored)) end
for counter, by in pairs(counts) do call('HINCRBY', KEYS[1], counter, by) end
if left < 0 then call('PEXPIRE', new, 2 * window) end
return failure or results
