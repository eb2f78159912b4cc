-- load: read hashes in one round trip.
--
-- KEYS     hashes
-- ARGV[1]  may be left out; msgpack: per hash the fields that are wanted, none for all
-- returns  per hash {field, value, …}, empty when there is none

local call = redis.call
local wanted = ARGV[1] and cmsgpack.unpack(ARGV[1]) or {}
local hashes = {}
for i, key in ipairs(KEYS) do
  local fields = wanted[i] or {}
  if #fields == 0 then
    hashes[i] = call('HGETALL', key)
  else
    local flat = {}
    for n, value in ipairs(call('HMGET', key, unpack(fields))) do
      if value then
        flat[#flat + 1] = fields[n]
        flat[#flat + 1] = value
      end
    end
    hashes[i] = flat
  end
end
return hashes
