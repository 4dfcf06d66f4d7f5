-- delayed -> waiting: now instead of later.
-- KEYS: queue prefix
-- ARGV: now, id, repeated
-- RETURNS: state afterwards; or 'missing'; or 'refused', state
-- COST: O(log n)
-- INCLUDES: clock events order state lines
local P, now, id = KEYS[1], now_ms(ARGV[1]), ARGV[2]
local state = state_of(P, id)
if not state then return { 'missing' } end
if state == 'waiting' and ARGV[3] == '1' then return { state } end
if state ~= 'delayed' then return { 'refused', state } end
redis.call('ZREM', P .. 'delayed', id)
join(P, { id }, { priority_of(P, id) })
if redis.call('HGET', P .. 'meta', 'paused') ~= '1' then wake(P) end
tell('promoted', id)
publish(P, now)
return { 'waiting' }
