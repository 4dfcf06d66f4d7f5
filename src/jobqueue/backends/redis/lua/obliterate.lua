-- Everything -> gone: one batch; the caller repeats it until nothing is left.
-- KEYS: queue prefix
-- ARGV: force ('1' or '0'), limit, now, how many minutes of statistics there may be, whatever is in the outbox ('1' or '0')
-- RETURNS: 'refused', number active; or 'more', ids; or 'deliver', ids: the outbox must be delivered first; or 'done', ids
-- COST: O(limit * log n)
-- INCLUDES: clock events order state lines finish holds outbox flows links stats full
local P, limit = KEYS[1], tonumber(ARGV[2])
local active = redis.call('ZCARD', P .. 'active')
if active > 0 and ARGV[1] ~= '1' then return { 'refused', active } end
local schedules = redis.call('ZRANGE', P .. 'schedules', 0, limit - 1)
if #schedules > 0 then
  -- First, so that none fires into what is being emptied.
  redis.call('ZREM', P .. 'schedules', unpack(schedules))
  redis.call('DEL', unpack(keys_of(P .. 'schedule:', schedules)))
  return { 'more', {} }
end
for _, state in ipairs(STATES) do
  local ids = {}
  if state == 'waiting' then
    local page = waiting_page(P, 0, limit)
    for i = 1, #page, 2 do ids[#ids + 1] = page[i] end
  else
    ids = redis.call('ZRANGE', P .. state, 0, limit - 1)
  end
  if #ids > 0 then
    -- Nothing may be claimed or settled from what is left between two batches.
    though_full(P)
    redis.call('HSET', P .. 'meta', 'paused', '1')
    if state == 'active' then
      for _, lease in ipairs(redis.call('HMGET', P .. 'leases', unpack(ids))) do
        local kind = string.match(lease or '', '\n(%S*)\n%S*$')
        if kind then redis.call('DEL', P .. 'running:' .. kind, P .. 'busy') end
      end
    end
    if state == 'waiting' then
      for _, id in ipairs(ids) do leave_line(P, id) end
    else
      redis.call('ZREM', P .. state, unpack(ids))
    end
    redis.call('HDEL', P .. 'leases', unpack(ids))
    if state == 'waiting' or state == 'active' or state == 'delayed' or state == 'blocked' then
      for _, id in ipairs(ids) do end_of(P, id, 'removed', '', '', '') end
    end
    forget(P, ids)
    settle_heirs(P, now_ms(ARGV[3]))
    return { 'more', ids }
  end
end
-- Jobs of other queues may wait for what was here.
if ARGV[5] ~= '1' and redis.call('XLEN', P .. 'outbox') > 0 then return { 'deliver', {} } end
-- Flows, a batch at a time too: their lists may be long.
for _, name in ipairs({ 'flows', 'flowed' }) do
  local flows = redis.call('ZRANGE', P .. name, 0, 9)
  if #flows > 0 then
    for _, flow in ipairs(flows) do
      forget_flow(P, flow)
      redis.call('DEL', P .. 'staged:' .. flow)
    end
    return { 'more', {} }
  end
end
-- With what could not be handed over go the lists of those that were to be told, and flows that were to be delivered.
local entries = redis.call('XRANGE', P .. 'outbox', '-', '+', 'COUNT', 100)
if #entries > 0 then
  local entry_ids = {}
  for place, found in ipairs(effects_in(P, 100)) do
    entry_ids[place] = entries[place][1]
    if found.kind == 'spread' and found.list then
      redis.call('DEL', P .. 'list:' .. found.list)
      local heirs = P .. 'heirs:' .. found.parent
      if redis.pcall('HGET', heirs, '') == found.list .. '!' then redis.call('DEL', heirs) end
    elseif found.kind == 'flow' and found.flow then
      redis.call('DEL', P .. 'staged:' .. found.flow)
    end
  end
  redis.call('XDEL', P .. 'outbox', unpack(entry_ids))
  return { 'more', {} }
end
for _, worker in ipairs(redis.call('ZRANGE', P .. 'seen', 0, -1)) do redis.call('DEL', P .. 'orders:' .. worker) end
for _, name in ipairs({ 'meta', 'wake', 'events', 'outbox', 'leases', 'cancelling', 'expiring', 'retention', 'calls',
  'workers', 'seen', 'declared', 'limits', 'overrides', 'groups', 'turns', 'resting', 'rates', 'fading', 'parked',
  'room', 'endpoints', 'hooks', 'unique', 'lasting' }) do
  redis.call('DEL', P .. name)
end
local this = minute_of(now_ms(ARGV[3]))
for back = 0, tonumber(ARGV[4]) do redis.call('DEL', stats_key(P, this - back)) end
return { 'done', {} }
