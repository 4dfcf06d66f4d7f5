-- Jobs of one state that entered it long enough ago -> gone: one batch, oldest first.
-- KEYS: queue prefix
-- ARGV: now, state, older than ms, limit, offset, look at
-- RETURNS: ids, number looked at and kept, whether the end was reached, outbox
-- COST: O(look at * log n)
-- INCLUDES: clock events order state lines finish holds outbox flows links
local P, now, state = KEYS[1], now_ms(ARGV[1]), ARGV[2]
local cutoff, limit, offset, look_at = now - tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local candidates
if state == 'waiting' then
  candidates = waiting_page(P, offset, look_at)
else
  candidates = redis.call('ZRANGE', P .. state, offset, offset + look_at - 1, 'WITHSCORES')
end
local finished = state == 'completed' or state == 'failed' or state == 'cancelled'
local ids, kept, reached = {}, 0, #candidates < 2 * look_at
for i = 1, #candidates, 2 do
  local id, since = candidates[i], nil
  if finished then
    since = math.floor(tonumber(candidates[i + 1]) / DUE)
    if since > cutoff then reached = true; break end
  else
    since = created_of(P, id) or 0
  end
  if since <= cutoff then
    ids[#ids + 1] = id
    if #ids == limit then break end
  else
    kept = kept + 1
  end
end
if #ids > 0 then
  if state == 'waiting' then
    for _, id in ipairs(ids) do leave_line(P, id) end
  else
    redis.call('ZREM', P .. state, unpack(ids))
  end
  if not finished then
    for _, id in ipairs(ids) do end_of(P, id, 'removed', '', '', '') end
  end
  forget(P, ids)
  tell('cleaned', '', #ids)
  settle_heirs_and_wake(P, now)
  publish(P, now)
end
return { ids, kept, reached and 1 or 0, edges.outbox and 1 or 0 }
