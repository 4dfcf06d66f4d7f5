-- Finished jobs begin again, with everything that their last life left behind taken away but their logs and checkpoint.
local function revive(P, state, ids)
  if #ids == 0 then return end
  redis.call('ZREM', P .. state, unpack(ids))
  redis.call('ZREM', P .. 'retention', unpack(ids))
  redis.call('ZREM', P .. 'expiring', unpack(ids))
  redis.call('DEL', unpack(keys_of(P .. 'end:', ids)))
  local priorities = {}
  for i, id in ipairs(ids) do
    redis.pcall('HDEL', P .. 'life:' .. id,
      'failures', 'stalls', 'error', 'started', 'finished', 'progress', 'reason', 'expires')
    priorities[i] = priority_of(P, id)
    tell('retried', id)
  end
  append_waiting(P, ids, priorities)
  if redis.call('HGET', P .. 'meta', 'paused') ~= '1' then wake(P) end
end
