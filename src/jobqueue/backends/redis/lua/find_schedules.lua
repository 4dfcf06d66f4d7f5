-- Schedules: of these ids, or those declared in code, or a page of all by when they are due.
-- KEYS: queue prefix
-- ARGV: now, which ('ids', 'declared', 'page'), then ids, or offset and limit
-- RETURNS: now, how many there are, for each found: id, fields
-- COST: O(log n) for each
-- INCLUDES: clock order schedules
local P, which, ids = KEYS[1], ARGV[2], {}
if which == 'ids' then
  for i = 3, #ARGV do ids[i - 2] = ARGV[i] end
elseif which == 'declared' then
  ids = redis.call('SMEMBERS', P .. 'declared')
  table.sort(ids)
elseif tonumber(ARGV[4]) > 0 then
  ids = redis.call('ZRANGE', P .. 'schedules', tonumber(ARGV[3]), ARGV[3] + ARGV[4] - 1)
end
local found = schedules_of(P, ids)
return { score_text(now_ms(ARGV[1])), redis.call('ZCARD', P .. 'schedules'), found }
