-- Membership is the state: a job is in the one set whose name its state is, and nothing else records it.
local STATES = { 'waiting', 'active', 'delayed', 'completed', 'failed', 'cancelled', 'blocked' }

-- What any job of this queue has ever had, so that others need not look for it: asked once a script at the most.
-- lives: more to tell than its record (see put); logged: log lines; linked: jobs that wait for others; lined: a group, or a
-- time set aside (lines.lua); hooked: endpoints that are told of jobs; keyed: a unique key (holds.lua); timed: a timetable may
-- know it.
local traits = {}
local function has(P, trait)
  if traits[trait] == nil then
    if trait == 'timed' then
      traits.timed = redis.call('EXISTS', P .. 'retention', P .. 'expiring') > 0
    else
      local found = redis.call('HMGET', P .. 'meta', 'lives', 'logged', 'linked', 'lined', 'hooked', 'keyed')
      traits.lives, traits.logged, traits.linked = found[1] and true, found[2] and true, found[3] and true
      traits.lined, traits.hooked, traits.keyed = found[4] and true, found[5] and true, found[6] and true
    end
  end
  return traits[trait]
end

local function state_of(P, id)
  for _, state in ipairs(STATES) do
    local score = redis.call('ZSCORE', P .. state, id)
    if score then return state, tonumber(score) end
  end
  local score = has(P, 'lined') and redis.call('ZSCORE', P .. 'aside', id)
  if score then return 'waiting', tonumber(score) end
  return nil
end

local function mark(P, trait)
  if not has(P, trait) then
    redis.call('HSET', P .. 'meta', trait, 1)
    traits[trait] = true
  end
end

local function on_timetable(P, timetable, at, id)
  redis.call('ZADD', P .. timetable, at, id)
  traits.timed = true
end

-- Writes down what has become of a job; a key that somebody made into something else becomes a hash again.
local function put(P, id, ...)
  local key = P .. 'life:' .. id
  local reply = redis.pcall('HSET', key, ...)
  if type(reply) == 'table' and reply.err then
    if string.find(reply.err, 'WRONGTYPE', 1, true) then redis.call('DEL', key) end
    redis.call('HSET', key, ...)
  end
  mark(P, 'lives')
end

local function life_of(P, id)
  if not has(P, 'lives') then return {} end
  local life = redis.pcall('HGETALL', P .. 'life:' .. id)
  return life.err and {} or life
end

local function from_life(P, id, field)
  return has(P, 'lives') and redis.pcall('HGET', P .. 'life:' .. id, field) or nil
end

-- One more of what a life counts; what is no count begins anew.
local function count_up(P, id, field)
  local count = redis.pcall('HINCRBY', P .. 'life:' .. id, field, 1)
  if type(count) ~= 'number' or count < 1 or count > 2147483647 then
    put(P, id, field, 1)
    count = 1
  end
  mark(P, 'lives')
  return count
end

-- When a job was made, from the head of its record.
local function created_of(P, id)
  local head = redis.pcall('GETRANGE', P .. 'job:' .. id, 0, 31)
  return type(head) == 'string' and finite(string.match(head, '^(%d+) ')) or nil
end

local function keys_of(prefix, ids)
  local keys = {}
  for i = 1, #ids do keys[i] = prefix .. ids[i] end
  return keys
end

-- What a script brings to an end, for settle_heirs (links.lua); nothing where no job waits for any other or has a key.
local ended, closing = {}, {}
local function end_of(P, id, state, detail, result, kind)
  local word = has(P, 'keyed') and from_life(P, id, 'unique')
  if has(P, 'linked') or type(word) == 'string' then
    ended[#ended + 1] = { id, state, detail, result, kind, word }
    closing[id] = true
  end
end

-- An id may be used again once its job is forgotten, so no timetable may still know it.
local function forget(P, ids)
  local count = #ids
  if count == 0 then return end
  local keys = {}
  for i = 1, count do keys[i], keys[count + i] = P .. 'job:' .. ids[i], P .. 'end:' .. ids[i] end
  redis.call('DEL', unpack(keys))
  if has(P, 'lives') then redis.call('DEL', unpack(keys_of(P .. 'life:', ids))) end
  if has(P, 'logged') then redis.call('DEL', unpack(keys_of(P .. 'log:', ids))) end
  if has(P, 'linked') then
    local gone = keys_of(P .. 'needs:', ids)
    for _, id in ipairs(ids) do
      gone[#gone + 1] = P .. 'inputs:' .. id
      gone[#gone + 1] = P .. 'asked:' .. id
      -- Heirs that are still to be told of an end keep their list (see settle_heirs).
      local list = not closing[id] and redis.pcall('HGET', P .. 'heirs:' .. id, '')
      if type(list) == 'string' then
        if string.match(list, '^%d+$') then redis.call('HSET', P .. 'heirs:' .. id, '', list .. '!') end
      elseif not closing[id] then
        gone[#gone + 1] = P .. 'heirs:' .. id
      end
    end
    redis.call('DEL', unpack(gone))
  end
  if has(P, 'timed') then
    redis.call('ZREM', P .. 'retention', unpack(ids))
    redis.call('ZREM', P .. 'expiring', unpack(ids))
  end
end

-- A job as replies carry it: id, state, score, lease, cancel reason, record, end, life.
local function picture(P, id, state, score)
  local lease, cancel = false, false
  if state == 'active' then
    lease = redis.call('HGET', P .. 'leases', id)
    cancel = redis.call('HGET', P .. 'cancelling', id)
  end
  local stored = redis.call('MGET', P .. 'job:' .. id, P .. 'end:' .. id)
  return { id, state, score_text(score), lease, cancel, stored[1], stored[2], life_of(P, id) }
end

-- A job that is unstarted again can expire again.
local function watch_expiry(P, id)
  local expires = finite(from_life(P, id, 'expires'))
  if expires then on_timetable(P, 'expiring', score_text(expires), id) end
end

-- It fails unless it is started within so many ms ('-': it does not).
local function wish_expiry(P, now, id, expires_in)
  if not expires_in or expires_in == '-' then return end
  local expires = score_text(now + tonumber(expires_in))
  put(P, id, 'expires', expires)
  on_timetable(P, 'expiring', expires, id)
end
