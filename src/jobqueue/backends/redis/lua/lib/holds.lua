-- Unique keys (see keys.py: unique, lasting). What a job has asked for stands in its life as a word: a letter (u until it is
-- done, t for a time, r replaces, k keeps the last, b both), a ttl in ms, a colon, the key.
local function asked_of(word)
  local mode, ttl, key = string.match(type(word) == 'string' and word or '', '^(%a)(%d*):(%S+)$')
  return mode, tonumber(ttl), key
end

-- Id, since when, until when, how it ended, who is kept until it is done; '*' for what is not.
local function stored_hold(P, key)
  local stored = redis.pcall('HGET', P .. 'unique', key)
  local id, since, till, ended, next_id =
    string.match(type(stored) == 'string' and stored or '', '^(%S+) (%d+) (%S+) (%S+) (%S+)$')
  if not id then return nil end
  return { id = id, since = since, till = finite(till), ended = ended, next = next_id ~= '*' and next_id or nil }
end

local function write_hold(P, key, hold)
  redis.call('HSET', P .. 'unique', key, hold.id .. ' ' .. hold.since .. ' ' .. (hold.till and score_text(hold.till) or '*') ..
    ' ' .. (hold.ended or '*') .. ' ' .. (hold.next or '*'))
end

local function free_key(P, key)
  redis.call('HDEL', P .. 'unique', key)
  redis.call('ZREM', P .. 'lasting', key)
end

-- A job that is not finished holds its key.
local function take_key(P, now, id, ttl, key)
  write_hold(P, key, { id = id, since = score_text(now), till = ttl and now + ttl })
  if ttl then
    redis.call('ZADD', P .. 'lasting', score_text(now + ttl), key)
  else
    redis.call('ZREM', P .. 'lasting', key)
  end
end

-- A key as those who come find it, or nil: who holds it, whether that is unfinished, whether it has begun.
local function hold_of(P, now, key)
  local hold = stored_hold(P, key)
  if not hold or (hold.till and hold.till <= now and not hold.next) then return nil end
  local state = state_of(P, hold.id)
  local unfinished = state == 'waiting' or state == 'active' or state == 'delayed' or state == 'blocked'
  if unfinished then
    local life = redis.pcall('HMGET', P .. 'life:' .. hold.id, 'unique', 'failures', 'stalls', 'begun', 'expires')
    -- Another job may have its id by now.
    unfinished = select(3, asked_of(life[1])) == key
    hold.begun = state == 'active' or life[2] or life[3] or life[4]
    -- It will not run any more, though nobody has seen to it yet.
    hold.expired = not hold.begun and not hold.till and life[5] and tonumber(life[5]) <= now
  end
  hold.unfinished = unfinished
  if not unfinished and not hold.till and not hold.next then return nil end
  return hold
end

-- The unfinished job because of which a finished one cannot begin again.
local function rival(P, now, id)
  local mode, _, key = asked_of(from_life(P, id, 'unique'))
  local hold = key and mode ~= 't' and hold_of(P, now, key)
  return hold and hold.unfinished and not hold.expired and hold.id ~= id and hold.id or nil
end

local function take_key_again(P, now, id)
  local mode, _, key = asked_of(from_life(P, id, 'unique'))
  if key and mode ~= 't' then take_key(P, now, id, nil, key) end
end

-- What does not tell by itself that a job has begun: it was handed back by a worker.
local function note_begun(P, id)
  if has(P, 'keyed') and type(from_life(P, id, 'unique')) == 'string' then put(P, id, 'begun', '1') end
end
