-- What a flow remembers.
-- KEYS: queue prefix
-- ARGV: flow
-- RETURNS: nothing if there is none; else its members and what is remembered of each; those that have ended, and how
-- COST: O(1) for each member
local P, flow = KEYS[1], ARGV[1]
if not redis.call('ZSCORE', P .. 'flows', flow) and not redis.call('ZSCORE', P .. 'flowed', flow) then return {} end
return { redis.call('HGETALL', P .. 'graph:' .. flow), redis.call('HGETALL', P .. 'ended:' .. flow) }
