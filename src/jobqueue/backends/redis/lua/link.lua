-- Heirs in other queues: jobs of this queue are given them, or their outcome is told where they have finished.
-- KEYS: queue prefix
-- ARGV: from where on to look through the outbox ('-': from its beginning), then for each edge: parent id, heir ('queue/id'),
--       policy and number of the asking
-- RETURNS: for each edge: '' (the heir will hear), or state, detail, result, kind of error; or 'beyond', from where on: the job is gone,
--          and its end may lie further back in the outbox: to be asked again
-- COST: O(1) for each edge; if one is to a job that is gone, 1000 entries of the outbox
-- INCLUDES: clock events order state lines finish holds outbox flows links full
local P, answers = KEYS[1], {}
though_full(P)
for at = 2, #ARGV, 3 do
  local state, detail, result, kind = outcome_of(P, ARGV[at])
  if state == 'removed' then
    local told, beyond = end_on_its_way(P, own_queue(P) .. '/' .. ARGV[at], ARGV[at + 1], ARGV[1])
    answers[#answers + 1] = told or beyond and { 'beyond', beyond } or { state, detail, result, kind }
  elseif state then
    answers[#answers + 1] = { state, detail, result, kind }
  else
    add_heir(P, ARGV[at], ARGV[at + 1], ARGV[at + 2])
    mark(P, 'linked')
    answers[#answers + 1] = ''
  end
end
return answers
