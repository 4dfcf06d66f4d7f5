-- A job's log lines: the newest 1000. The queue remembers that it has any, so that others need not look for them.
local function append_logs(P, id, lines)
  if #lines == 0 then return end
  local key = P .. 'log:' .. id
  local reply = redis.pcall('RPUSH', key, unpack(lines))
  if type(reply) == 'table' and reply.err then
    -- Not our list: it must not take the rest of the batch down with it.
    if string.find(reply.err, 'WRONGTYPE', 1, true) then redis.call('DEL', key) end
    redis.call('RPUSH', key, unpack(lines))
  end
  redis.call('LTRIM', key, -1000, -1)
  mark(P, 'logged')
end
