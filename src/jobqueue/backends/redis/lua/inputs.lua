-- What a job has waited for, and what it still waits for.
-- KEYS: queue prefix
-- ARGV: id
-- RETURNS: needs: parent, policy; inputs: parent, 'policy state', detail, result on a line each
-- COST: O(1) for each
local P, id = KEYS[1], ARGV[1]
return { redis.call('HGETALL', P .. 'needs:' .. id), redis.call('HGETALL', P .. 'inputs:' .. id) }
