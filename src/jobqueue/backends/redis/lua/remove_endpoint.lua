-- Forget an endpoint.
-- KEYS: queue prefix
-- ARGV: now, caller, sequence, id
-- RETURNS: '1', '0' if there was none
-- COST: O(1)
-- INCLUDES: clock order full calls
local P, now, id = KEYS[1], now_ms(ARGV[1]), ARGV[4]
local replied = answered_before(P)
if replied then return replied end
though_full(P)
local known = redis.call('HDEL', P .. 'endpoints', id)
redis.call('HDEL', P .. 'hooks', id)
if redis.call('EXISTS', P .. 'hooks') == 0 then redis.call('HDEL', P .. 'meta', 'hooked') end
return answered(P, now, known)
