-- Membership is the state: a job is in the one set whose name its state is, and nothing else records it.
local STATES = { 'waiting', 'active', 'delayed', 'completed', 'failed', 'cancelled', 'blocked' }

local function state_of(P, id)
  for _, state in ipairs(STATES) do
    local score = redis.call('ZSCORE', P .. state, id)
    if score then return state, tonumber(score) end
  end
  return nil
end

local function job_keys(P, ids)
  local keys = {}
  for i = 1, #ids do
    keys[2 * i - 1] = P .. 'job:' .. ids[i]
    keys[2 * i] = P .. 'log:' .. ids[i]
  end
  return keys
end

-- An id may be used again once its job is forgotten, so no timetable may still know it.
local function forget(P, ids)
  if #ids == 0 then return end
  redis.call('DEL', unpack(job_keys(P, ids)))
  if redis.call('EXISTS', P .. 'retention') == 1 then redis.call('ZREM', P .. 'retention', unpack(ids)) end
  if redis.call('EXISTS', P .. 'expiring') == 1 then redis.call('ZREM', P .. 'expiring', unpack(ids)) end
end

-- A job as replies carry it: id, state, score, lease, cancel reason, then the hash flat.
local function picture(P, id, state, score)
  local lease, cancel = false, false
  if state == 'active' then
    lease = redis.call('HGET', P .. 'leases', id)
    cancel = redis.call('HGET', P .. 'cancelling', id)
  end
  return { id, state, score_text(score), lease, cancel, redis.call('HGETALL', P .. 'job:' .. id) }
end

-- A job that is unstarted again can expire again.
local function watch_expiry(P, id)
  local expires = redis.call('HGET', P .. 'job:' .. id, 'expires')
  if expires then redis.call('ZADD', P .. 'expiring', expires, id) end
end
