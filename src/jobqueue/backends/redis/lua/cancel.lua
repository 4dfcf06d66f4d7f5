-- blocked, delayed, waiting -> cancelled; active -> active, with an order to its worker.
-- KEYS: queue prefix
-- ARGV: now, id, repeated, reason, keep count, keep age
-- RETURNS: state afterwards, outbox; or 'missing'; or 'refused', state
-- COST: O(log n)
-- INCLUDES: clock events order state lines finish holds links full
local P, now, id, reason = KEYS[1], now_ms(ARGV[1]), ARGV[2], ARGV[4]
local state = state_of(P, id)
if not state then return { 'missing' } end
if state == 'cancelled' and ARGV[3] == '1' then return { state } end
if state == 'active' then
  though_full(P)
  redis.call('HSET', P .. 'cancelling', id, reason)
  local worker = string.match(redis.call('HGET', P .. 'leases', id) or '', '^%d+ %d+ %??([^\n]+)')
  if worker then
    redis.call('RPUSH', P .. 'orders:' .. worker, id .. ' ' .. reason)
    -- An order is a nudge; the wish itself stands in `cancelling` and comes back with every lease extension.
    redis.call('PEXPIRE', P .. 'orders:' .. worker, 60000)
  end
  tell('cancelling', id, one_line(reason))
  publish(P, now)
  return { 'active' }
end
if state ~= 'waiting' and state ~= 'delayed' and state ~= 'blocked' then return { 'refused', state } end
leave_state(P, state, id)
redis.call('ZREM', P .. 'expiring', id)
cancelled(P, id, now, nil, reason, tonumber(ARGV[5]), tonumber(ARGV[6]))
local outbox = settle_heirs(P, now)
if edges.unblocked and redis.call('HGET', P .. 'meta', 'paused') ~= '1' then wake(P) end
publish(P, now)
return { 'cancelled', outbox and 1 or 0 }
