-- delayed -> waiting: now instead of later.
-- KEYS: queue prefix
-- ARGV: now, caller, sequence, id
-- RETURNS: state afterwards; or 'missing'; or 'refused', state
-- COST: O(log n)
-- INCLUDES: clock events order state lines full calls
local P, now, id = KEYS[1], now_ms(ARGV[1]), ARGV[4]
local replied = answered_before(P)
if replied then return replied end
though_full(P)
local state = state_of(P, id)
if not state then return answered(P, now, 'missing') end
if state ~= 'delayed' then return answered(P, now, 'refused', state) end
redis.call('ZREM', P .. 'delayed', id)
join(P, { id }, { priority_of(P, id) })
if redis.call('HGET', P .. 'meta', 'paused') ~= '1' then wake(P) end
tell('promoted', id)
publish(P, now)
return answered(P, now, 'waiting')
