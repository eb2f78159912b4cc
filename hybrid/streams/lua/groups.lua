-- groups: one consistent look at the groups of topics, registered or not.
--
-- KEYS     groups' hash, topics
-- ARGV     per topic its channel name
-- returns  per topic a list of groups {name, position, waiting, pending, oldest unsettled entry or '', mark or '', live or
--          '', consumer …}
--
-- What waits is counted one by one up to 20,000, as `ledger` does.

local call = redis.call

local function waiting_of(stream, after, lag)
  local total, range = 0, call('XRANGE', stream, '(' .. after, '+', 'COUNT', 1000)
  local first = #range > 0 and range[1][1] or ''
  while #range > 0 do
    total = total + #range
    if total >= 20000 and lag then return lag, first end
    range = call('XRANGE', stream, '(' .. range[#range][1], '+', 'COUNT', 1000)
  end
  return total, first
end

local topics = {}
for i, name in ipairs(ARGV) do
  local stream, groups = KEYS[i + 1], {}
  for _, info in ipairs(call('EXISTS', stream) == 1 and call('XINFO', 'GROUPS', stream) or {}) do
    local fields = {}
    for n = 1, #info, 2 do fields[info[n]] = info[n + 1] end
    local group, position = fields.name, fields['last-delivered-id']
    local field = name .. '|' .. group
    local marks = call('HMGET', KEYS[1], 'mark:' .. field, 'live:' .. field)
    local waiting, first = waiting_of(stream, position, fields.lag)
    local oldest = call('XPENDING', stream, group)[2] or first
    local row = { group, position, waiting, fields.pending, oldest, marks[1] or '', marks[2] or '' }
    for _, consumer in ipairs(call('XINFO', 'CONSUMERS', stream, group)) do row[#row + 1] = consumer[2] end
    groups[#groups + 1] = row
  end
  topics[i] = groups
end
return topics
