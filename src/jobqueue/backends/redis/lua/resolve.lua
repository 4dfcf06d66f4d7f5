-- blocked -> waiting, delayed, failed: what jobs of this queue, or of its flows, have waited for in other queues.
-- KEYS: queue prefix
-- ARGV: now, then for each edge: heir id, parent ('queue/id'), policy and number of the asking or
--       reopening ('F', 'S': the heir is a flow; 'O': one that is reopened),
--       state, detail, result, kind of error, ms at which the parent ended
-- RETURNS: '', outbox (2: there may be something, of an earlier try)
-- COST: O(log n) for each edge, and for each that follows from it; 1000 of those at the most
-- INCLUDES: clock events order state lines finish holds outbox flows links full
local P, now = KEYS[1], now_ms(ARGV[1])
though_full(P)
for at = 2, #ARGV, 8 do
  local id, parent, policy, number = ARGV[at], ARGV[at + 1], string.sub(ARGV[at + 2], 1, 1), number_of(ARGV[at + 2])
  if policy == 'O' then
    reopen(P, now, id, parent, number)
  elseif policy == 'F' or policy == 'S' then
    note_ending(P, now, id, parent, ARGV[at + 3], ARGV[at + 7], policy == 'S' and ARGV[at + 5] or '', number)
  else
    local word = resolve_edge(P, now, id, parent, ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6], number)
    -- Whatever has come of the last asking, nobody is left waiting without having been heard.
    if word then connect(P, now, id, parent, word) end
  end
end
settle_heirs_and_wake(P, now)
publish(P, now)
return { '', is_owed(P) }
