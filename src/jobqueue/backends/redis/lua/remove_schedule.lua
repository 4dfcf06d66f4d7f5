-- Forget a schedule. A repeat finds it gone, and cannot tell any more that it was there.
-- KEYS: queue prefix
-- ARGV: id, repeated
-- RETURNS: 1, 0 if there was none
-- COST: O(log n)
local P, id = KEYS[1], ARGV[1]
local known = redis.call('ZREM', P .. 'schedules', id)
redis.call('SREM', P .. 'declared', id)
redis.call('DEL', P .. 'schedule:' .. id)
return (known == 1 or ARGV[2] == '1') and 1 or 0
