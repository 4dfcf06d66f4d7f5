-- Forget a schedule.
-- KEYS: queue prefix
-- ARGV: now, caller, sequence, id
-- RETURNS: '1', '0' if there was none
-- COST: O(log n)
-- INCLUDES: clock order full calls
local P, now, id = KEYS[1], now_ms(ARGV[1]), ARGV[4]
local replied = answered_before(P)
if replied then return replied end
though_full(P)
local known = redis.call('ZREM', P .. 'schedules', id)
redis.call('SREM', P .. 'declared', id)
redis.call('DEL', P .. 'schedule:' .. id)
return answered(P, now, known)
