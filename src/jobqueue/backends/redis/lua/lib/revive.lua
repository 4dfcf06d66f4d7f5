-- Finished jobs begin again, with everything that their last life left behind taken away but their logs and checkpoint.
-- Those that wait for others are blocked again.
local function revive(P, state, ids, now)
  if #ids == 0 then return end
  redis.call('ZREM', P .. state, unpack(ids))
  redis.call('ZREM', P .. 'retention', unpack(ids))
  redis.call('ZREM', P .. 'expiring', unpack(ids))
  redis.call('DEL', unpack(keys_of(P .. 'end:', ids)))
  local ready, priorities = {}, {}
  for _, id in ipairs(ids) do
    redis.pcall('HDEL', P .. 'life:' .. id,
      'failures', 'stalls', 'error', 'started', 'finished', 'progress', 'reason', 'expires', 'begun')
    tell('retried', id)
    if has(P, 'keyed') then take_key_again(P, now, id) end
    if not has(P, 'linked') then
      ready[#ready + 1] = id
      priorities[#ready] = priority_of(P, id)
    elseif not relink(P, now, id) then
      -- Where it wished to go when it was let go counted for then.
      redis.pcall('HDEL', P .. 'life:' .. id, 'due', 'lifo')
      -- At once, because those that come after it may wait for it.
      join(P, { id }, { priority_of(P, id) })
    end
  end
  join(P, ready, priorities)
  settle_heirs(P, now)
  if redis.call('HGET', P .. 'meta', 'paused') ~= '1' then wake(P) end
end
