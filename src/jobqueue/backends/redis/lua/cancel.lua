-- blocked, delayed, waiting -> cancelled; active -> active, with an order to its worker.
-- KEYS: queue prefix
-- ARGV: now, caller, sequence, id, reason, keep count, keep age
-- RETURNS: state afterwards, outbox; or 'missing'; or 'refused', state
-- COST: O(log n)
-- INCLUDES: clock events order state lines finish holds outbox flows links full calls
local P, now, id, reason = KEYS[1], now_ms(ARGV[1]), ARGV[4], ARGV[5]
local replied = answered_before(P)
if replied then return replied end
though_full(P)
local state = state_of(P, id)
if not state then return answered(P, now, 'missing') end
if state == 'active' then
  redis.call('HSET', P .. 'cancelling', id, reason)
  local worker = string.match(redis.call('HGET', P .. 'leases', id) or '', '^%d+ %d+ %??([^\n]+)')
  if worker then
    redis.call('RPUSH', P .. 'orders:' .. worker, id .. ' ' .. reason)
    -- An order is a nudge; the wish itself stands in `cancelling` and comes back with every lease extension.
    redis.call('PEXPIRE', P .. 'orders:' .. worker, 60000)
  end
  tell('cancelling', id, one_line(reason))
  publish(P, now)
  return answered(P, now, 'active')
end
if state ~= 'waiting' and state ~= 'delayed' and state ~= 'blocked' then return answered(P, now, 'refused', state) end
leave_state(P, state, id)
redis.call('ZREM', P .. 'expiring', id)
cancelled(P, id, now, nil, reason, tonumber(ARGV[6]), tonumber(ARGV[7]))
settle_heirs_and_wake(P, now)
publish(P, now)
return answered(P, now, 'cancelled', edges.outbox and 1 or 0)
