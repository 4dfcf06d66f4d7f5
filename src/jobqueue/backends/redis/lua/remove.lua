-- any state but active -> gone.
-- KEYS: queue prefix
-- ARGV: now, caller, sequence, id
-- RETURNS: state before, outbox; or 'missing'; or 'refused', state
-- COST: O(log n)
-- INCLUDES: clock events order state lines finish holds outbox flows links full calls
local P, now, id = KEYS[1], now_ms(ARGV[1]), ARGV[4]
local replied = answered_before(P)
if replied then return replied end
though_full(P)
local state = state_of(P, id)
if not state then return answered(P, now, 'missing') end
if state == 'active' then return answered(P, now, 'refused', state) end
leave_state(P, state, id)
if state == 'waiting' or state == 'delayed' or state == 'blocked' then end_of(P, id, 'removed', '', '', '') end
forget(P, { id })
tell('removed', id)
settle_heirs_and_wake(P, now)
publish(P, now)
return answered(P, now, state, edges.outbox and 1 or 0)
