-- any state but active -> gone. A repeat finds it gone, and cannot tell any more what it was.
-- KEYS: queue prefix
-- ARGV: now, id, repeated
-- RETURNS: state before ('completed' for a repeat that finds it gone), outbox; or 'missing'; or 'refused', state
-- COST: O(log n)
-- INCLUDES: clock events order state lines finish holds links
local P, now, id = KEYS[1], now_ms(ARGV[1]), ARGV[2]
local state = state_of(P, id)
if not state then return { ARGV[3] == '1' and 'completed' or 'missing' } end
if state == 'active' then return { 'refused', state } end
leave_state(P, state, id)
if state == 'waiting' or state == 'delayed' or state == 'blocked' then end_of(P, id, 'removed', '', '', '') end
forget(P, { id })
tell('removed', id)
local outbox = settle_heirs(P, now)
if edges.unblocked and redis.call('HGET', P .. 'meta', 'paused') ~= '1' then wake(P) end
publish(P, now)
return { state, outbox and 1 or 0 }
