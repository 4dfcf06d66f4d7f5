-- Forget an endpoint. A repeat finds it gone, and cannot tell any more that it was there.
-- KEYS: queue prefix
-- ARGV: id, repeated
-- RETURNS: 1, 0 if there was none
-- COST: O(1)
local P, id = KEYS[1], ARGV[1]
local known = redis.call('HDEL', P .. 'endpoints', id)
redis.call('HDEL', P .. 'hooks', id)
if redis.call('EXISTS', P .. 'hooks') == 0 then redis.call('HDEL', P .. 'meta', 'hooked') end
return (known == 1 or ARGV[2] == '1') and 1 or 0
