-- waiting or delayed -> gone: one batch.
-- KEYS: queue prefix
-- ARGV: now, state, limit
-- RETURNS: ids
-- COST: O(limit * log n)
-- INCLUDES: clock events order state
local P, now, state = KEYS[1], now_ms(ARGV[1]), ARGV[2]
local ids = redis.call('ZRANGE', P .. state, 0, tonumber(ARGV[3]) - 1)
if #ids > 0 then
  redis.call('ZREMRANGEBYRANK', P .. state, 0, #ids - 1)
  forget(P, ids)
  tell('purged', '', #ids)
  publish(P, now)
end
return ids
