-- In which states jobs are.
-- KEYS: queue prefix
-- ARGV: ids
-- RETURNS: for each its state, or ''
-- COST: O(1) for each
-- INCLUDES: order state
local P, states = KEYS[1], {}
for i, id in ipairs(ARGV) do states[i] = state_of(P, id) or '' end
return states
