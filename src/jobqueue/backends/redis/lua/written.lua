-- A committed flow is in its queues as a whole: from here on its gates are opened, and none of it is written again.
-- KEYS: queue prefix
-- ARGV: flow, gate
-- RETURNS: 1, 0 if it has been delivered already
-- COST: O(1)
-- INCLUDES: full
though_full(KEYS[1])
local staged = KEYS[1] .. 'staged:' .. ARGV[1]
if redis.call('HGET', staged, 'gate') ~= ARGV[2] then return 0 end
redis.call('HSET', staged, 'written', '1')
return 1
