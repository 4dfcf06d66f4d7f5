-- active -> active: move the deadlines of leases that are still held.
-- KEYS: queue prefix
-- ARGV: now, lease ms, then for each lease: id, token
-- RETURNS: ids whose lease is lost; then flat: id and reason of every cancel request among those held
-- COST: O(log n) for each lease
-- INCLUDES: clock order full
local P, now = KEYS[1], now_ms(ARGV[1])
local deadline = score_text(now + tonumber(ARGV[2]))
local ids = {}
for i = 3, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
local lost, cancels = {}, {}
if #ids == 0 then return { lost, cancels } end
local leases = redis.call('HMGET', P .. 'leases', unpack(ids))
local held, scored = {}, {}
for i = 1, #ids do
  if string.match(leases[i] or '', '^(%d+) ') == ARGV[2 * i + 2] then
    held[#held + 1] = ids[i]
    scored[#scored + 1] = deadline
    scored[#scored + 1] = ids[i]
  else
    lost[#lost + 1] = ids[i]
  end
end
if #held > 0 then
  though_full(P)
  add_many(P .. 'active', scored)
end
if #held > 0 and redis.call('EXISTS', P .. 'cancelling') == 1 then
  local reasons = redis.call('HMGET', P .. 'cancelling', unpack(held))
  for i = 1, #held do
    if reasons[i] then
      cancels[#cancels + 1] = held[i]
      cancels[#cancels + 1] = reasons[i]
    end
  end
end
return { lost, cancels }
