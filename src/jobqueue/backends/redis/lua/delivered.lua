-- A committed flow has been let go: what was staged of it goes.
-- KEYS: queue prefix
-- ARGV: flow, gate
-- RETURNS: 1, 0 if it is another one that is staged now, or none
-- COST: O(jobs staged)
local staged = KEYS[1] .. 'staged:' .. ARGV[1]
if redis.call('HGET', staged, 'gate') ~= ARGV[2] then return 0 end
redis.call('DEL', staged)
return 1
