-- active -> active: write a running job's progress, checkpoint or log lines under its token, or that it begins.
-- KEYS: queue prefix
-- ARGV: now, id, token, repeated, kind ('progress', 'checkpoint', 'log', 'begun'), values
-- RETURNS: 1, or 0 if the lease is lost
-- COST: O(1)
-- INCLUDES: clock events order state logs full
local P, id, repeated, kind = KEYS[1], ARGV[2], ARGV[4] == '1', ARGV[5]
local lease = redis.call('HGET', P .. 'leases', id)
if string.match(lease or '', '^(%d+) ') ~= ARGV[3] then return 0 end
though_full(P)
if kind == 'log' then
  local lines = {}
  for i = 6, #ARGV do lines[#lines + 1] = ARGV[i] end
  -- The same lines with the same times at the very end: the first try has written them.
  local last = repeated and redis.pcall('LRANGE', P .. 'log:' .. id, -#lines, -1)
  local written = last and not last.err and table.concat(last, '\n') == table.concat(lines, '\n')
  if not written then append_logs(P, id, lines) end
elseif kind == 'begun' then
  redis.call('HSET', P .. 'leases', id, (string.gsub(lease, '^(%d+ %d+ )%?', '%1')))
else
  put(P, id, kind, ARGV[6])
  if kind == 'progress' then
    tell('progress', id, ARGV[6])
    publish(P, now_ms(ARGV[1]))
  end
end
return 1
