-- A job's log lines: the newest 1000.
local function append_logs(P, id, lines)
  if #lines == 0 then return end
  redis.call('RPUSH', P .. 'log:' .. id, unpack(lines))
  redis.call('LTRIM', P .. 'log:' .. id, -1000, -1)
end
