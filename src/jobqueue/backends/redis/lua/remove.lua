-- any state but active -> gone. A repeat finds it gone, and cannot tell any more what it was.
-- KEYS: queue prefix
-- ARGV: now, id, repeated
-- RETURNS: state before ('completed' for a repeat that finds it gone); or 'missing'; or 'refused', state
-- COST: O(log n)
-- INCLUDES: clock events order state
local P, now, id = KEYS[1], now_ms(ARGV[1]), ARGV[2]
local state = state_of(P, id)
if not state then return { ARGV[3] == '1' and 'completed' or 'missing' } end
if state == 'active' then return { 'refused', state } end
redis.call('ZREM', P .. state, id)
forget(P, { id })
tell('removed', id)
publish(P, now)
return { state }
