-- send: store messages from outside, each once per id within a window.
--
-- KEYS     counters, seen:new, seen:old, then every stream that is named
-- ARGV     window (ms), most ids to remember, msgpack: a list of {id, stream, counter, fields}
-- returns  per message 1 stored, 0 its id was seen before
--
-- Two sets of ids rotate when the newer one is as old as the window or holds as many as it may; both expire by
-- themselves.

local call = redis.call
local new, old, window, most = KEYS[2], KEYS[3], tonumber(ARGV[1]), tonumber(ARGV[2])
local messages = cmsgpack.unpack(ARGV[3])

local left = call('PTTL', new)
if left >= 0 and (left <= window or call('SCARD', new) + #messages > most) then
  call('UNLINK', old)
  call('RENAME', new, old)
  call('PEXPIRE', old, window)
  left = -2
end

local results, counts = {}, {}
for i, message in ipairs(messages) do
  local id = message[1]
  results[i] = 0
  if call('SISMEMBER', old, id) == 0 and call('SADD', new, id) == 1 then
    local stored = redis.pcall('XADD', message[2], '*', unpack(message[4]))
    if type(stored) == 'table' then
      call('SREM', new, id)
      for counter, by in pairs(counts) do call('HINCRBY', KEYS[1], counter, by) end
      return stored
    end
    results[i] = 1
    counts[message[3]] = (counts[message[3]] or 0) + 1
  end
end
for counter, by in pairs(counts) do call('HINCRBY', KEYS[1], counter, by) end
if left < 0 then call('PEXPIRE', new, 2 * window) end
return results
