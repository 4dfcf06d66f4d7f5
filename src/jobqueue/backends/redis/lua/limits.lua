-- The limits of the queue as they stand.
-- KEYS: queue prefix
-- ARGV: nothing
-- RETURNS: name and value of each
-- COST: O(limits)
local P = KEYS[1]
return redis.call('HGETALL', P .. 'limits')
