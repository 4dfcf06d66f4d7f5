-- Heirs in other queues: jobs of this queue are given them, or their outcome is told where they have finished.
-- KEYS: queue prefix
-- ARGV: from where on to look through the outbox ('-': from its beginning), then for each edge: parent id, heir ('queue/id'),
--       policy and number of the asking
-- RETURNS: for each edge: '' (the heir will hear), or state, detail, result, kind of error; or 'beyond', from where on: the job is gone,
--          and its end may lie further back in the outbox: to be asked again; or 'later': likewise, as the answer is large already
-- COST: O(1) for each edge; if one is to a job that is gone, 1000 entries of the outbox
-- INCLUDES: clock events order state lines finish holds outbox flows links full
local P, answers, size = KEYS[1], {}, 0
though_full(P)
for at = 2, #ARGV, 3 do
  local answer
  if size > 4000000 then
    answer = { 'later' }
  else
    local state, detail, result, kind = outcome_of(P, ARGV[at])
    if state == 'removed' then
      local told, beyond = end_on_its_way(P, own_queue(P) .. '/' .. ARGV[at], ARGV[at + 1], ARGV[1])
      answer = told or beyond and { 'beyond', beyond } or { state, detail, result, kind }
    elseif state then
      answer = { state, detail, result, kind }
    else
      add_heir(P, ARGV[at], ARGV[at + 1], ARGV[at + 2])
      mark(P, 'linked')
      answer = ''
    end
    for _, word in ipairs(answer ~= '' and answer or {}) do size = size + #word end
  end
  answers[#answers + 1] = answer
end
return answers
