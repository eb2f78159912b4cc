-- take: read new entries of several streams, of each as many as there is room for, and not too many in all. Does
-- not wait.
--
-- KEYS     streams
-- ARGV     group, consumer, how many in all, then per stream its room
-- returns  per stream the entries {id, fields}

local read, most = {}, tonumber(ARGV[3])
for i, stream in ipairs(KEYS) do
  local room = math.min(most, ARGV[i + 3])
  local reply = room > 0
    and redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', room, 'STREAMS', stream, '>')
  read[i] = reply and reply[1][2] or {}
  most = most - #read[i]
end
return read
