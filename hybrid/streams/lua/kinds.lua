-- kinds: count what stands among failures, by kind, a page at a time; what the entries hold besides stays here.
--
-- KEYS     a stream of failures
-- ARGV     first (an id, `(id` for what comes after it, or `-`), last (an id or `+`), most entries, not before (ms)
-- returns  {the page's last id, '' when it is the last page, then per kind {kind, count, first (ms), last (ms)}}; the kind is ''
--          of entries that were written without one

local rows = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[2], 'COUNT', ARGV[3])
local since = tonumber(ARGV[4])
local found, order = {}, {}
for _, row in ipairs(rows) do
  local fields, kind = row[2], ''
  local failed = tonumber(row[1]:match('^%d+'))
  for i = 1, #fields, 2 do
    if fields[i] == 'kind' then kind = fields[i + 1] end
    if fields[i] == 'failed' then failed = tonumber(fields[i + 1]) end
  end
  if failed >= since then
    local known = found[kind]
    if not known then
      known = { kind, 0, failed, failed }
      found[kind] = known
      order[#order + 1] = known
    end
    known[2] = known[2] + 1
    known[3] = math.min(known[3], failed)
    known[4] = math.max(known[4], failed)
  end
end
return { #rows == tonumber(ARGV[3]) and rows[#rows][1] or '', unpack(order) }
