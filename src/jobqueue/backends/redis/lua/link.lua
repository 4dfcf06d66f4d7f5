-- Heirs in other queues: jobs of this queue are given them, or their outcome is told where they have finished.
-- KEYS: queue prefix
-- ARGV: then for each edge: parent id, heir ('queue/id'), policy
-- RETURNS: for each edge: '' (the heir will hear), or state, detail, result, kind of error
-- COST: O(1) for each edge
-- INCLUDES: clock events order state lines finish holds links
local P, answers = KEYS[1], {}

-- The end of a job that is gone, as long as it lies in the outbox for this heir.
local function end_on_its_way(id, heir)
  for _, entry in ipairs(redis.call('XREVRANGE', P .. 'outbox', '+', '-', 'COUNT', 100)) do
    local found = {}
    for i = 1, #entry[2], 2 do found[entry[2][i]] = entry[2][i + 1] end
    local told = found.kind == 'edge' and found.parent == own_queue(P) .. '/' .. id and found.to .. '/' .. found.heir == heir
    if told or (found.kind == 'spread' and found.parent == id) then
      return { found.state, found.detail, found.result, found.error }
    end
  end
end

for at = 1, #ARGV, 3 do
  local state, detail, result, kind = outcome_of(P, ARGV[at])
  if state then
    answers[#answers + 1] = state == 'removed' and end_on_its_way(ARGV[at], ARGV[at + 1]) or { state, detail, result, kind }
  else
    add_heir(P, ARGV[at], ARGV[at + 1], ARGV[at + 2])
    mark(P, 'linked')
    answers[#answers + 1] = ''
  end
end
return answers
