-- failed -> waiting: one batch, oldest first.
-- KEYS: queue prefix
-- ARGV: now, limit
-- RETURNS: ids, outbox
-- COST: O(limit * log n)
-- INCLUDES: clock events order state lines finish links revive
local P, now = KEYS[1], now_ms(ARGV[1])
local ids = redis.call('ZRANGE', P .. 'failed', 0, tonumber(ARGV[2]) - 1)
revive(P, 'failed', ids, now)
publish(P, now)
return { ids, edges.outbox and 1 or 0 }
