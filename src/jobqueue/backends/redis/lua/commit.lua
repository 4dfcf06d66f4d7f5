-- A flow that has been staged whole is to be: from here on it is delivered, by whoever comes first.
-- KEYS: queue prefix
-- ARGV: now, caller, sequence, flow, number of jobs staged, recorded ('1' or '0'), id and token of the running job that waits
--       for it ('' none), gate, then the needs of that job: parent, policy
-- RETURNS: 'ok', 'known' (it was committed before), 'incomplete' (a part is missing), 'lost' (the lease is lost)
-- COST: O(log n), and O(1) for each need
-- INCLUDES: clock order state full calls
local P, now, flow = KEYS[1], now_ms(ARGV[1]), ARGV[4]
local replied = answered_before(P)
if replied then return replied end
if redis.call('ZSCORE', P .. 'flows', flow) or redis.call('ZSCORE', P .. 'flowed', flow) then
  return declined(P, now, 'known')
end
-- Somebody has, and what is staged waits to be delivered.
if redis.call('HGET', P .. 'staged:' .. flow, 'gate') then return declined(P, now, 'known') end
local id = ARGV[7]
if id ~= '' then
  if string.match(redis.call('HGET', P .. 'leases', id) or '', '^(%d+) ') ~= ARGV[8] then
    redis.call('DEL', P .. 'staged:' .. flow)
    return answered(P, now, 'lost')
  end
  -- Somebody has, and it has been delivered.
  if ARGV[10] and (redis.call('HGET', P .. 'needs:' .. id, ARGV[10]) or redis.call('HGET', P .. 'inputs:' .. id, ARGV[10])) then
    redis.call('DEL', P .. 'staged:' .. flow)
    return declined(P, now, 'known')
  end
end
if redis.call('HLEN', P .. 'staged:' .. flow) ~= tonumber(ARGV[5]) then return declined(P, now, 'incomplete') end
redis.call('HSET', P .. 'staged:' .. flow, 'gate', ARGV[9])
redis.call('PERSIST', P .. 'staged:' .. flow)
for at = 10, #ARGV, 2 do redis.call('HSET', P .. 'needs:' .. id, ARGV[at], ARGV[at + 1]) end
if ARGV[6] == '1' then
  redis.call('PERSIST', P .. 'graph:' .. flow)
  redis.call('ZADD', P .. 'flows', score_text(now), flow)
end
mark(P, 'linked')
redis.call('XADD', P .. 'outbox', '*', 'kind', 'flow', 'flow', flow, 'gate', ARGV[9])
return answered(P, now, 'ok')
