-- One job as it stands.
-- KEYS: queue prefix
-- ARGV: id
-- RETURNS: its picture, or nothing
-- COST: O(1)
-- INCLUDES: order state
local P, id = KEYS[1], ARGV[1]
local state, score = state_of(P, id)
if not state then return {} end
return picture(P, id, state, score)
