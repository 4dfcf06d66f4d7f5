-- delayed, waiting -> delayed until another time.
-- KEYS: queue prefix
-- ARGV: now, id, repeated, due ('+ms' from now, or ms since 1970)
-- RETURNS: state afterwards; or 'missing'; or 'refused', state
-- COST: O(log n)
-- INCLUDES: clock events order state lines
local P, now, id, due = KEYS[1], now_ms(ARGV[1]), ARGV[2], ARGV[4]
local state = state_of(P, id)
if not state then return { 'missing' } end
if state ~= 'delayed' and state ~= 'waiting' then return { 'refused', state } end
leave_state(P, state, id)
local before = first_due(P)
local due_ms = string.sub(due, 1, 1) == '+' and now + tonumber(due) or tonumber(due)
add_delayed(P, id, due_ms)
if not before or due_ms < before then wake(P) end
tell('rescheduled', id, score_text(due_ms))
publish(P, now)
return { 'delayed' }
