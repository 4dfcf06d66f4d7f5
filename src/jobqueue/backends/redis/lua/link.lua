-- Heirs in other queues: jobs of this queue are given them, or their outcome is told where they have finished.
-- KEYS: queue prefix
-- ARGV: for each edge: parent id, heir ('queue/id'), policy and number of the asking
-- RETURNS: for each edge: '' (the heir will hear), or state, detail, result, kind of error
-- COST: O(1) for each edge; if one is to a job that is gone, 100 entries of the outbox
-- INCLUDES: clock events order state lines finish holds links
local P, answers = KEYS[1], {}

-- The ends that lie in the outbox: by the job that has ended, and, where one heir is told, by that.
local ends
local function read_ends()
  ends = {}
  for _, found in ipairs(effects_in(P, 100)) do
    local told = { found.state, found.detail, found.result, found.error }
    if found.kind == 'edge' then ends[found.parent .. ' ' .. found.to .. '/' .. found.heir] = told end
    if found.kind == 'spread' then ends[own_queue(P) .. '/' .. found.parent] = told end
  end
end

-- The end of a job that is gone, as long as its heir has not been told.
local function end_on_its_way(id, heir)
  if not ends then read_ends() end
  local job = own_queue(P) .. '/' .. id
  return ends[job .. ' ' .. heir] or ends[job]
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
