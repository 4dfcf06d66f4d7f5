-- blocked -> waiting, delayed: every job of a flow is there, so those of this queue may begin.
-- KEYS: queue prefix
-- ARGV: now, gate, then ids
-- RETURNS: '', outbox (2: there may be something, of an earlier try)
-- COST: O(log n) for each id
-- INCLUDES: clock events order state lines finish holds outbox flows links full
local P, now, gate = KEYS[1], now_ms(ARGV[1]), 'flow/' .. ARGV[2]
though_full(P)
redis.call('HSET', P .. 'calls', gate, '1 ' .. score_text(now))
-- Who opens it may come after another one, who failed a job here and was not heard of again.
edges.again = true
for at = 3, #ARGV do resolve_edge(P, now, ARGV[at], gate, 'completed', '', '', '') end
settle_heirs_and_wake(P, now)
publish(P, now)
return { '', is_owed(P) }
