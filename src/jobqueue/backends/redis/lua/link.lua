-- Heirs in other queues: jobs of this queue are given them, or their outcome is told where they have finished.
-- KEYS: queue prefix
-- ARGV: then for each edge: parent id, heir ('queue/id'), policy
-- RETURNS: for each edge: '' (the heir will hear), or state, detail, result, kind of error
-- COST: O(1) for each edge
-- INCLUDES: clock events order state lines finish holds links
local P, answers = KEYS[1], {}
for at = 1, #ARGV, 3 do
  local state, detail, result, kind = outcome_of(P, ARGV[at])
  if state then
    answers[#answers + 1] = { state, detail, result, kind }
  else
    add_heir(P, ARGV[at], ARGV[at + 1], ARGV[at + 2])
    mark(P, 'linked')
    answers[#answers + 1] = ''
  end
end
return answers
