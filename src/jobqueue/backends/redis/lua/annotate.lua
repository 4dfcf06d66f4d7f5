-- active -> active: write a running job's progress, checkpoint or log lines under its token, or that it begins.
-- KEYS: queue prefix
-- ARGV: now, caller, sequence, id, token, kind ('progress', 'checkpoint', 'log', 'begun'), values
-- RETURNS: '1', or '0' if the lease is lost
-- COST: O(1)
-- INCLUDES: clock events order state logs full calls
local P, now, id, kind = KEYS[1], now_ms(ARGV[1]), ARGV[4], ARGV[6]
local replied = answered_before(P)
if replied then return replied end
though_full(P)
local lease = redis.call('HGET', P .. 'leases', id)
if string.match(lease or '', '^(%d+) ') ~= ARGV[5] then return answered(P, now, '0') end
if kind == 'log' then
  local lines = {}
  for i = 7, #ARGV do lines[#lines + 1] = ARGV[i] end
  append_logs(P, id, lines)
elseif kind == 'begun' then
  redis.call('HSET', P .. 'leases', id, (string.gsub(lease, '^(%d+ %d+ )%?', '%1')))
else
  put(P, id, kind, ARGV[7])
  if kind == 'progress' then
    tell('progress', id, ARGV[7])
    publish(P, now)
  end
end
return answered(P, now, '1')
