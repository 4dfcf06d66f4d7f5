-- active -> active: write a running job's progress, checkpoint or log lines under its token.
-- KEYS: queue prefix
-- ARGV: now, id, token, kind ('progress', 'checkpoint', 'log'), values
-- RETURNS: 1, or 0 if the lease is lost
-- COST: O(1)
-- INCLUDES: clock events order state logs
local P, id, kind = KEYS[1], ARGV[2], ARGV[4]
local lease = redis.call('HGET', P .. 'leases', id)
if string.match(lease or '', '^(%d+) ') ~= ARGV[3] then return 0 end
if kind == 'log' then
  local lines = {}
  for i = 5, #ARGV do lines[#lines + 1] = ARGV[i] end
  append_logs(P, id, lines)
else
  put(P, id, kind, ARGV[5])
  if kind == 'progress' then
    tell('progress', id, ARGV[5])
    publish(P, now_ms(ARGV[1]))
  end
end
return 1
