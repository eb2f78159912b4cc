-- forget: delete ended flows whose retention is over.
--
-- KEYS     outcomes, then per flow: record, history
-- ARGV     per flow its entry in outcomes, and the run that ended
-- returns  how many flows were deleted
--
-- An entry of a flow that has not ended (it failed, and may go on), or of an earlier run, only leaves the list.

local deleted = 0
for i = 1, #ARGV / 2 do
  local flow, history = KEYS[2 * i], KEYS[2 * i + 1]
  redis.call('XDEL', KEYS[1], ARGV[2 * i - 1])
  local was = redis.call('HMGET', flow, 'ended', 'run')
  if was[1] and (was[2] or '1') == ARGV[2 * i] then
    redis.call('UNLINK', flow, history)
    deleted = deleted + 1
  end
end
return deleted
