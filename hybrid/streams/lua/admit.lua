-- admit: read new entries of streams whose messages keep an order per key, and let in what is the first of its key. Does
-- not wait.
--
-- KEYS     gate (hash: CHANNEL|KEY -> origin id of the message whose turn it is \0 the entry by which it was let in, empty
--          when it was released), held (zset), groups' hash, streams
-- ARGV     group, consumer, how many to let in at most in all, then per stream: its room, its channel's name, 1 for a queue,
--          msgpack: the field by which messages of a type are ordered {type: field}
-- returns  per stream {the group's position, entry {id, fields}, …}
--
-- Reading and gating are one step: asked afterwards, the gate would hear of two messages of a key in the order in which two
-- workers ask. A message whose key is taken, be it by another of its id, is held: acknowledged, and kept whole in the zset
-- until `settle` releases it.
-- A member there is CHANNEL|KEY \0 place in line \0 msgpack {origin, fields}; all scores are 0, so those of a key are in
-- line. What is let in and what is held has a field `gate`, CHANNEL|KEY, and one `line`, its place there, which stay with it. (What is read again from
-- what is pending has none: `hybrid/broker/order.py` finds the same key, step by step.) What is held of a topic's history
-- is marked as replayed here, since it comes back under another id (see `register`); what is held already when its group
-- is reset does not come again.

local call = redis.call
local SCAN = 1000 -- the most that is read of a stream at once; 4,000 bytes count as one more: the server waits meanwhile
local PAGE = 10
local scanned

local function number(s, i, bytes)
  local n = 0
  for at = i, i + bytes - 1 do n = n * 256 + s:byte(at) end
  return n
end

-- what follows the first byte of a msgpack value: {bytes of the length, what lies before the content}
local SIZED = { [0xc4] = { 1, 0 }, [0xc5] = { 2, 0 }, [0xc6] = { 4, 0 }, [0xc7] = { 1, 1 }, [0xc8] = { 2, 1 },
  [0xc9] = { 4, 1 }, [0xd9] = { 1, 0 }, [0xda] = { 2, 0 }, [0xdb] = { 4, 0 } }
local FIXED = { [0xc0] = 0, [0xc2] = 0, [0xc3] = 0, [0xca] = 4, [0xcb] = 8, [0xcc] = 1, [0xcd] = 2, [0xce] = 4,
  [0xcf] = 8, [0xd0] = 1, [0xd1] = 2, [0xd2] = 4, [0xd3] = 8, [0xd4] = 2, [0xd5] = 3, [0xd6] = 5, [0xd7] = 9,
  [0xd8] = 17 }

-- where a value's content begins and ends, and how many values it has in it
local function span(s, i)
  local b = s:byte(i)
  if b < 0x80 or b >= 0xe0 then return i, i, 0 end
  if b < 0x90 then return i + 1, i, 2 * (b - 0x80) end
  if b < 0xa0 then return i + 1, i, b - 0x90 end
  if b < 0xc0 then return i + 1, i + b - 0xa0, 0 end
  if FIXED[b] then return i + 1, i + FIXED[b], 0 end
  if SIZED[b] then
    local first = i + 1 + SIZED[b][1] + SIZED[b][2]
    return first, first + number(s, i + 1, SIZED[b][1]) - 1, 0
  end
  local bytes = (b == 0xdc or b == 0xde) and 2 or 4
  return i + 1 + bytes, i + bytes, number(s, i + 1, bytes) * (b >= 0xde and 2 or 1)
end

local function skip(s, i)
  local left = 1
  while left > 0 do
    local _, last, inside = span(s, i)
    i, left = last + 1, left - 1 + inside
  end
  return i
end

-- the text of a value as a key: of a text, bytes or extension the content, of an integer of up to 32 bits its digits, else the
-- value as it is packed; nil for nothing, a list or a map
local function text(s, i)
  local b = s:byte(i)
  local first, last, inside = span(s, i)
  if b == 0xc0 or inside > 0 or b == 0x80 or b == 0x90 or (b >= 0xdc and b <= 0xdf) then return nil end
  if (b >= 0xa0 and b < 0xc0) or SIZED[b] then return s:sub(first, last) end
  if b >= 0xd4 and b <= 0xd8 then return s:sub(first + 1, last) end
  if b < 0x80 then return tostring(b) end
  if b >= 0xe0 then return tostring(b - 256) end
  if b >= 0xcc and b <= 0xd3 then
    local bytes = FIXED[b]
    local n = number(s, first, bytes)
    if b >= 0xd0 and s:byte(first) >= 128 then n = n - 256 ^ bytes end
    if bytes < 8 then return string.format('%.0f', n) end
  end
  return s:sub(i, last)
end

local function key_of(s, field)
  local b = s:byte(1)
  if not ((b >= 0x80 and b < 0x90) or b == 0xde or b == 0xdf) then return nil end
  local i, _, values = span(s, 1)
  for _ = 1, values / 2 do
    local first, last = span(s, i)
    i = skip(s, i)
    if s:sub(first, last) == field then
      local key = text(s, i)
      return key and key:gsub('%z', '\\0')
    end
    i = skip(s, i)
  end
end

local function padded(id)
  local ms, seq = id:match('^(%d+)%-(%d+)$')
  return '1' .. ('0'):rep(16 - #ms) .. ms .. ('0'):rep(20 - #seq) .. seq
end

local function padded_live(channel)
  local live = call('HGET', KEYS[3], 'live:' .. channel .. '|' .. ARGV[1])
  local after, upto = (live or ''):match('^(%S+) (%S+)$')
  if not after then return nil end
  return padded(after:find('-', 1, true) and after or after .. '-0'), padded(upto:find('-', 1, true) and upto or upto .. '-0')
end

-- lets an entry in, or holds it
local function admit(stream, entry, channel, fields_of, is_queue)
  local id, flat, fields = entry[1], entry[2], {}
  if not flat then return true end -- trimmed
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  local field, data = fields.type and fields_of[fields.type], fields.data or ''
  if not field then return true end
  scanned = scanned + #data / 4000
  local fine, key = pcall(key_of, data, field)
  if not fine or not key then return true end
  local place, origin = channel .. '|' .. key, fields.origin or fields.id or ''
  local owner, whole = call('HGET', KEYS[1], place), origin .. '\0' .. id
  flat[#flat + 1] = 'gate'
  flat[#flat + 1] = place
  flat[#flat + 1] = 'line'
  flat[#flat + 1] = padded(id)
  if not owner then call('HSET', KEYS[1], place, whole) end
  if not owner or owner == whole then return true end -- the same entry: its group was reset, or lost
  if not fields.time then
    flat[#flat + 1] = 'time'
    flat[#flat + 1] = id:match('^%d+')
  end
  local after, upto = padded_live(channel)
  if after and padded(id) > after and padded(id) <= upto then
    flat[#flat + 1] = 'replayed'
    flat[#flat + 1] = '1'
  end
  local line = place .. '\0' .. padded(id) .. '\0'
  if call('ZLEXCOUNT', KEYS[2], '[' .. line, '(' .. line:sub(1, -2) .. '\1') > 0 then
    call('HINCRBY', KEYS[3], 'base:' .. channel .. '|' .. ARGV[1], 1)
  else
    call('ZADD', KEYS[2], 0, line .. cmsgpack.pack({ origin, flat }))
  end
  call('XACK', stream, ARGV[1], id)
  if is_queue then call('XDEL', stream, id) end
  return false
end

local function position(stream)
  for _, info in ipairs(call('XINFO', 'GROUPS', stream)) do
    local fields = {}
    for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
    if fields.name == ARGV[1] then return fields['last-delivered-id'] end
  end
end

local read, left = {}, tonumber(ARGV[3])
for n = 1, #KEYS - 3 do
  local argument = 4 * n
  local stream, room = KEYS[n + 3], math.min(left, ARGV[argument])
  local fields_of = cmsgpack.unpack(ARGV[argument + 3])
  local result, last = { '' }, nil
  scanned = 0
  while #result - 1 < room and scanned < SCAN do
    local reply = call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', math.min(room - #result + 1, PAGE),
      'STREAMS', stream, '>')
    if not reply then break end
    for _, entry in ipairs(reply[1][2]) do
      scanned, last = scanned + 1, entry[1]
      if admit(stream, entry, ARGV[argument + 1], fields_of, ARGV[argument + 2] == '1') then result[#result + 1] = entry end
    end
  end
  result[1] = last or position(stream)
  left = left - #result + 1
  read[n] = result
end
return read
