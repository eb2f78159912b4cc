-- take: read new entries of several streams, of each as many as there is room for. Does not wait.
--
-- KEYS     streams
-- ARGV     group, consumer, then per stream its room
-- returns  per stream the entries {id, fields}

local read = {}
for i, stream in ipairs(KEYS) do
  local reply = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', ARGV[i + 2], 'STREAMS', stream, '>')
  read[i] = reply and reply[1][2] or {}
end
return read
