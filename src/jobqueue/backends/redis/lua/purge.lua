-- waiting or delayed -> gone: one batch.
-- KEYS: queue prefix
-- ARGV: now, state, limit
-- RETURNS: ids, outbox
-- COST: O(limit * log n)
-- INCLUDES: clock events order state lines finish holds outbox flows links
local P, now, state = KEYS[1], now_ms(ARGV[1]), ARGV[2]
local ids
if state == 'waiting' and has(P, 'lined') then
  ids = {}
  local page = waiting_page(P, 0, tonumber(ARGV[3]))
  for i = 1, #page, 2 do ids[#ids + 1] = page[i] end
  for _, id in ipairs(ids) do leave_line(P, id) end
else
  ids = redis.call('ZRANGE', P .. state, 0, tonumber(ARGV[3]) - 1)
  if #ids > 0 then redis.call('ZREMRANGEBYRANK', P .. state, 0, #ids - 1) end
end
if #ids > 0 then
  for _, id in ipairs(ids) do end_of(P, id, 'removed', '', '', '') end
  forget(P, ids)
  tell('purged', '', #ids)
  settle_heirs_and_wake(P, now)
  publish(P, now)
end
return { ids, edges.outbox and 1 or 0 }
