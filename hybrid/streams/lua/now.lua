-- now: tell the time.
--
-- KEYS     counters
-- returns  ms since 1970, by the server's clock and what was skipped

-- with clock

return clock.now(KEYS[1])
