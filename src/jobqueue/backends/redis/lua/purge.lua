-- waiting or delayed -> gone: one batch.
-- KEYS: queue prefix
-- ARGV: now, state, limit
-- RETURNS: ids, outbox
-- COST: O(limit * log n)
-- INCLUDES: clock events order state finish links
local P, now, state = KEYS[1], now_ms(ARGV[1]), ARGV[2]
local ids = redis.call('ZRANGE', P .. state, 0, tonumber(ARGV[3]) - 1)
if #ids > 0 then
  redis.call('ZREMRANGEBYRANK', P .. state, 0, #ids - 1)
  for _, id in ipairs(ids) do end_of(P, id, 'removed', '', '', '') end
  forget(P, ids)
  tell('purged', '', #ids)
  settle_heirs(P, now)
  publish(P, now)
end
return { ids, edges.outbox and 1 or 0 }
