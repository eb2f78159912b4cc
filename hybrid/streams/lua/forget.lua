-- forget: delete ended flows whose retention is over.
--
-- KEYS     outcomes, then per flow: record, history
-- ARGV     per flow its entry in outcomes
-- returns  how many flows were deleted
--
-- An entry of a flow that has not ended (it failed, and may go on) only leaves the list.

local deleted = 0
for i, entry in ipairs(ARGV) do
  local flow, history = KEYS[2 * i], KEYS[2 * i + 1]
  redis.call('XDEL', KEYS[1], entry)
  if redis.call('HEXISTS', flow, 'ended') == 1 then
    redis.call('UNLINK', flow, history)
    deleted = deleted + 1
  end
end
return deleted
