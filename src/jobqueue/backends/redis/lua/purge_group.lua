-- waiting -> gone: one batch of one group, in its order.
-- KEYS: queue prefix
-- ARGV: now, group, limit
-- RETURNS: ids, outbox
-- COST: O(limit * log n)
-- INCLUDES: clock events order state lines finish holds outbox flows links
local P, now, group, limit = KEYS[1], now_ms(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local found = redis.call('ZRANGE', line_key(P, group), 0, limit - 1, 'WITHSCORES')
for _, kind in ipairs(parked_types(P)) do
  for _, value in ipairs(redis.call('ZRANGE', parked_key(P, kind, group), 0, limit - 1, 'WITHSCORES')) do
    found[#found + 1] = value
  end
end
local scored, ids = {}, {}
for i = 1, #found, 2 do scored[#scored + 1] = { found[i], tonumber(found[i + 1]) } end
table.sort(scored, function(one, other) return one[2] < other[2] end)
for i = 1, math.min(limit, #scored) do
  ids[i] = scored[i][1]
  leave_line(P, ids[i])
  -- Where its record was overwritten, it cannot say itself where it stands.
  redis.call('ZREM', line_key(P, group), ids[i])
end
if #ids > 0 then
  for _, id in ipairs(ids) do end_of(P, id, 'removed', '', '', '') end
  forget(P, ids)
  tell('purged', '', #ids)
  settle_heirs_and_wake(P, now)
  publish(P, now)
end
return { ids, edges.outbox and 1 or 0 }
