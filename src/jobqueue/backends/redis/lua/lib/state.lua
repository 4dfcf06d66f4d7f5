-- Membership is the state: a job is in the one set whose name its state is, and nothing else records it.
local STATES = { 'waiting', 'active', 'delayed', 'completed', 'failed', 'cancelled', 'blocked' }

local function state_of(P, id)
  for _, state in ipairs(STATES) do
    local score = redis.call('ZSCORE', P .. state, id)
    if score then return state, tonumber(score) end
  end
  return nil
end

-- Writes fields of a record; a key that somebody made into something else becomes a record again.
local function put(key, ...)
  local reply = redis.pcall('HSET', key, ...)
  if type(reply) == 'table' and reply.err then
    if string.find(reply.err, 'WRONGTYPE', 1, true) then redis.call('DEL', key) end
    redis.call('HSET', key, ...)
  end
end

-- One more of what a record counts; what is no count begins anew.
local function count_up(key, field)
  local count = redis.pcall('HINCRBY', key, field, 1)
  if type(count) ~= 'number' or count < 1 or count > 2147483647 then
    put(key, field, 1)
    count = 1
  end
  return count
end

-- When a job was made, from the head of its record.
local function created_of(P, id)
  local job = redis.pcall('HGET', P .. 'job:' .. id, 'job')
  return type(job) == 'string' and finite(string.match(job, "^%d+")) or nil
end

local function keys_of(prefix, ids)
  local keys = {}
  for i = 1, #ids do keys[i] = prefix .. ids[i] end
  return keys
end

-- An id may be used again once its job is forgotten, so no timetable may still know it.
local function forget(P, ids)
  if #ids == 0 then return end
  redis.call('DEL', unpack(keys_of(P .. 'job:', ids)))
  if redis.call('HGET', P .. 'meta', 'logged') then redis.call('DEL', unpack(keys_of(P .. 'log:', ids))) end
  if redis.call('EXISTS', P .. 'retention', P .. 'expiring') > 0 then
    redis.call('ZREM', P .. 'retention', unpack(ids))
    redis.call('ZREM', P .. 'expiring', unpack(ids))
  end
end

-- A job as replies carry it: id, state, score, lease, cancel reason, then the hash flat.
local function picture(P, id, state, score)
  local lease, cancel = false, false
  if state == 'active' then
    lease = redis.call('HGET', P .. 'leases', id)
    cancel = redis.call('HGET', P .. 'cancelling', id)
  end
  local hash = redis.pcall('HGETALL', P .. 'job:' .. id)
  return { id, state, score_text(score), lease, cancel, hash.err and {} or hash }
end

-- A job that is unstarted again can expire again.
local function watch_expiry(P, id)
  local expires = finite(redis.pcall('HGET', P .. 'job:' .. id, 'expires'))
  if expires then redis.call('ZADD', P .. 'expiring', score_text(expires), id) end
end
