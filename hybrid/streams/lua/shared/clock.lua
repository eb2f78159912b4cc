-- clock: what time it is for what is due. Stands before the scripts that say `with clock`.

local clock = {}

-- how far (ms) time was skipped: in a test store only, see skip.lua
function clock.skipped(counters)
  return tonumber(redis.call('HGET', counters, 'skipped') or '0')
end

-- ms since 1970, by the server's clock and what was skipped
function clock.now(counters)
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000) + clock.skipped(counters)
end

