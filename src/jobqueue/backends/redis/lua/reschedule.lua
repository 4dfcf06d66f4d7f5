-- delayed, waiting -> delayed until another time.
-- KEYS: queue prefix
-- ARGV: now, caller, sequence, id, due ('+ms' from now, or ms since 1970)
-- RETURNS: state afterwards; or 'missing'; or 'refused', state
-- COST: O(log n)
-- INCLUDES: clock events order state lines full calls
local P, now, id, due = KEYS[1], now_ms(ARGV[1]), ARGV[4], ARGV[5]
local replied = answered_before(P)
if replied then return replied end
though_full(P)
local state = state_of(P, id)
if not state then return answered(P, now, 'missing') end
if state ~= 'delayed' and state ~= 'waiting' then return answered(P, now, 'refused', state) end
leave_state(P, state, id)
local before = first_due(P)
local due_ms = string.sub(due, 1, 1) == '+' and now + tonumber(due) or tonumber(due)
add_delayed(P, id, due_ms)
if not before or due_ms < before then wake(P) end
tell('rescheduled', id, score_text(due_ms))
publish(P, now)
return answered(P, now, 'delayed')
