-- Hand out schedules that are due, each to one caller for a short while.
-- KEYS: queue prefix
-- ARGV: now, limit, held ms
-- RETURNS: now, ms until the next one is due ('' none), for each due: id, fields
-- COST: O(log n) for each
-- INCLUDES: clock order schedules
local P, now = KEYS[1], now_ms(ARGV[1])
local ids = redis.call('ZRANGE', P .. 'schedules', '-inf', score_text(now), 'BYSCORE', 'LIMIT', 0, tonumber(ARGV[2]))
local found, held = {}, score_text(now + tonumber(ARGV[3]))
for _, schedule in ipairs(schedules_of(P, ids)) do
  -- One whose next tick was overwritten has none, until somebody puts or resumes it.
  local ticks = schedule[2][4]
  redis.call('ZADD', P .. 'schedules', ticks and held or '+inf', schedule[1])
  if ticks then found[#found + 1] = schedule end
end
return { score_text(now), first_schedule_in(P, now), found }
