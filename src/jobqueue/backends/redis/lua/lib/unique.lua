-- New jobs whose key may be held.
local function word_of(wishes)
  return string.match(wishes, '^%d+ %S+ %S+ %d %S* (%S+)$')
end

-- What becomes of a new job, and who stands in its place: 'new'; 'next' (blocked until that one is done); 'fell'; 'over' (that
-- one takes over what it asks for). `found` has the keys as those who came before in this script have left them.
local function judge(P, now, found, id, word)
  local mode, _, key = asked_of(word)
  if found[key] == nil then
    local hold = hold_of(P, now, key)
    if hold and not hold.unfinished and hold.next then
      -- Somebody has taken the holder away without a word, so that nobody has let the next one go.
      pass_key_on(P, now, key, hold.next)
      hold = hold_of(P, now, key)
    end
    found[key] = hold or false
  end
  local hold = found[key]
  if not hold then
    found[key] = { id = id, unfinished = true }
    return 'new'
  end
  local lasts = mode == 'u' or mode == 't'
  if lasts and hold.expired then
    found[key] = { id = id, unfinished = true }
    return 'new'
  end
  if not hold.unfinished or lasts then return 'fell', hold.id end
  if not hold.begun then return 'over', hold.id end
  if hold.next then return 'over', hold.next end
  if mode == 'r' then
    found[key] = { id = id, unfinished = true }
    return 'new'
  end
  hold.next = id
  return 'next', hold.id
end

-- Where a new job goes that was judged 'next', or 'new' and waits for others: it is connected with those afterwards.
local function keep_next(P, now, id, word, wishes)
  local _, _, key = asked_of(word)
  local hold = stored_hold(P, key)
  if hold then
    hold.next = id
    write_hold(P, key, hold)
  end
  put(P, id, 'unique', word)
  block(P, now, id, wishes, { needs = { 'unique', 'g' }, heirs = {} }, true)
end

local function ask_for_key(P, now, id, word)
  local _, ttl, key = asked_of(word)
  mark(P, 'keyed')
  put(P, id, 'unique', word)
  take_key(P, now, id, ttl, key)
end

-- A job that has not begun takes over what another asks for; its time too if it is delayed and that one replaces. Returns
-- how many jobs wait now that did not before.
local function take_over(P, now, id, wishes, rest)
  local state, mode = state_of(P, id), asked_of(word_of(wishes))
  local priority, due, expires_in, lifo, group = string.match(wishes, '^(%d+) (%S+) (%S+) (%d) ?(%S*)')
  local before = redis.pcall('GET', P .. 'job:' .. id)
  local created, head = string.match(type(before) == 'string' and before or '', '^(%d+) ([^\n]*)')
  local timed = state == 'delayed' and (mode == 'r' or mode == 'b')
  local moved = state == 'waiting' and head ~= string.match(rest, '^[^\n]*')
  if timed or moved then leave_state(P, state, id) end
  redis.call('ZREM', P .. 'expiring', id)
  redis.pcall('HDEL', P .. 'life:' .. id, 'expires', 'due', 'lifo')
  redis.call('SET', P .. 'job:' .. id, (created or score_text(now)) .. ' ' .. rest)
  if timed then
    local places = new_places()
    choose_place(P, now, places, id, wishes)
    return take_places(P, places)
  end
  wish_expiry(P, now, id, expires_in)
  if group ~= '' then mark(P, 'lined') end
  if moved then
    join(P, { id }, { tonumber(priority) })
    return 1
  end
  if state == 'blocked' then wish_place(P, id, due, lifo) end
  return 0
end

-- The answer about a job that stands: its picture, or what is known of one that is gone.
local function stander_picture(P, id, key, now)
  local state, score = state_of(P, id)
  if state then return 'f', picture(P, id, state, score) end
  local hold = key and stored_hold(P, key)
  local known = hold and hold.id == id
  return 'g', { id, known and hold.ended ~= '*' and hold.ended or 'completed', known and hold.since or score_text(now) }
end
