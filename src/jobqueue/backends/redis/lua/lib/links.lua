-- Jobs that wait for others (see keys.py: needs, inputs, heirs, asked). An edge is resolved by being moved from the
-- `needs` of the job that waits to its `inputs`, so that resolving it twice does nothing. What a script brings to an end is
-- gathered in `ended` and told to the heirs by settle_heirs, a bounded number of them; the outbox does the rest.

local function pairs_in(key)
  local flat = redis.pcall('HGETALL', key)
  return flat.err and {} or flat
end

local function size_of(key)
  local size = redis.pcall('HLEN', key)
  return type(size) == 'number' and size or 0
end

local function add_blocked(P, id, now)
  redis.call('ZADD', P .. 'blocked', score_text(finished_score(P, 'blocked', now)), id)
end

-- Its own delay counts from here.
local function unblock(P, id, now)
  redis.call('ZREM', P .. 'blocked', id)
  local wish = redis.pcall('HMGET', P .. 'life:' .. id, 'due', 'lifo')
  if wish.err then wish = {} end
  redis.pcall('HDEL', P .. 'life:' .. id, 'due', 'lifo')
  redis.call('DEL', P .. 'asked:' .. id)
  local due = wish[1] and finite(wish[1])
  if due and string.sub(wish[1], 1, 1) == '+' then due = now + due end
  if due and due > now then
    add_delayed(P, id, due)
  elseif wish[2] == '1' then
    rejoin(P, { id })
  else
    join(P, { id }, { priority_of(P, id) })
  end
  edges.unblocked = true
  tell('unblocked', id)
end

-- The first cause goes down the line as it is.
local function dependency_error(parent, state, detail, kind)
  if kind == 'DependencyFailed' then return detail end
  local how = state == 'failed' and 'failed' or 'was ' .. state
  if kind ~= '' then how = how .. ': ' .. string.gsub(kind, '[^%w_.]', '?') end
  return '{"type":"DependencyFailed","message":"dependency ' .. parent .. ' ' .. how .. '"}'
end

-- Which asking a word is about (see keys.py: heirs).
local function number_of(word)
  return tonumber(string.match(word, '^%a(%d+)')) or 0
end

-- Under which number a job has asked for this one again, after a retry ('' if it has not).
local function asked_again(P, id, parent)
  local number = redis.pcall('HGET', P .. 'asked:' .. id, parent)
  return type(number) == 'string' and string.match(number, '^%d+$') or ''
end

-- Numbers of one kind rise, also where the queue was obliterated in between.
local function next_number(P, now, kind)
  local number = score_text(math.max(now, (finite(redis.call('HGET', P .. 'meta', kind)) or 0) + 1))
  redis.call('HSET', P .. 'meta', kind, number)
  return number
end

-- `parent` has come to `state`: what that means for `id`, which needs it. Nothing, if it is a bad answer to an earlier
-- `asking`: then the word is returned under which the job asked since.
local function resolve_edge(P, now, id, parent, state, detail, result, kind, asking)
  local needs = P .. 'needs:' .. id
  local policy = redis.pcall('HGET', needs, parent)
  if type(policy) ~= 'string' then
    edges.again = true
    return
  end
  if asking and state ~= 'completed' then
    local number = asked_again(P, id, parent)
    if asking < (tonumber(number) or 0) then return policy .. number end
  end
  redis.call('HDEL', needs, parent)
  local bad = state ~= 'completed'
  if policy ~= 'g' and not (bad and policy == 'i') then
    redis.call('HSET', P .. 'inputs:' .. id, parent, policy .. ' ' .. state .. '\n' .. detail .. '\n' .. result)
  end
  local blocked = redis.call('ZSCORE', P .. 'blocked', id)
  if bad and policy == 'f' then
    local why = dependency_error(parent, state, detail, kind)
    if blocked then
      redis.call('ZREM', P .. 'blocked', id)
      redis.call('ZREM', P .. 'expiring', id)
      if fail(P, id, now, nil, why, 'DependencyFailed', false, -1, 0, '') then edges.notices = true end
    else
      -- It runs, and will hear of it when it comes to wait for its children.
      put(P, id, 'doomed', why)
    end
  elseif blocked and redis.call('EXISTS', needs) == 0 then
    unblock(P, id, now)
  end
end

-- What a job that has finished came to: state, detail, result, kind of error; nil if it has not.
local function outcome_of(P, id)
  local state = state_of(P, id)
  if not state then return 'removed', '', '', '' end
  if state == 'completed' then
    local stored = redis.pcall('GET', P .. 'end:' .. id)
    return state, '', type(stored) == 'string' and string.match(stored, '^[^\n]*\n(.*)$') or '', ''
  elseif state == 'failed' then
    local stored = redis.pcall('HGET', P .. 'life:' .. id, 'error')
    stored = type(stored) == 'string' and stored or ''
    return state, stored, '', string.match(stored, '^{"type":"([^"\\]*)"') or ''
  elseif state == 'cancelled' then
    local stored = redis.pcall('HGET', P .. 'life:' .. id, 'reason')
    return state, type(stored) == 'string' and one_line(stored) or '', '', ''
  end
  return nil
end

-- A job's own list of heirs, and its number if it is being read out (see settle_heirs). One that was left by another job of
-- that id goes on under its number alone.
local function own_heirs(P, id)
  local key = P .. 'heirs:' .. id
  local list = redis.pcall('HGET', key, '')
  if type(list) ~= 'string' then return key, nil end
  local left = string.match(list, '^(%d+)!$')
  if left then redis.call('RENAME', key, P .. 'list:' .. left) end
  return key, string.match(list, '^%d+$')
end

-- Whoever comes while the list is being read out is not meant. Who has asked already, then or since then, stays as he is.
local function add_heir(P, id, heir, word)
  local key, list = own_heirs(P, id)
  local known = redis.pcall('HGET', key, heir)
  if type(known) == 'string' and number_of(known) >= number_of(word) then return end
  redis.call('HSET', key, heir, list and word .. '+' .. list or word)
end

-- A job of this queue hears from `parent` when that finishes, or at once if it has.
local function connect(P, now, id, parent, word)
  local queue, parent_id = string.match(parent, '^([^/]+)/(.+)$')
  local own = own_queue(P)
  local heir, state, detail, result, kind = own .. '/' .. id, nil, nil, nil, nil
  local elsewhere = queue ~= own
  if not elsewhere then
    state, detail, result, kind = outcome_of(P, parent_id)
    if state == 'removed' then
      local told, beyond = end_on_its_way(P, parent, heir, '-')
      if told then state, detail, result, kind = unpack(told) end
      -- Whoever hands it over looks further.
      elsewhere = beyond
    end
  end
  if elsewhere then
    add_effect(P, 'kind', 'link', 'to', queue, 'parent', parent_id, 'heir', heir, 'policy', word)
  elseif state then
    resolve_edge(P, now, id, parent, state, detail, result, kind)
  else
    add_heir(P, parent_id, heir, word)
  end
end

-- A job that waits hears from all it needs.
local function connect_all(P, now, id, link)
  for i = 1, #link.needs, 2 do connect(P, now, id, link.needs[i], link.needs[i + 1]) end
  -- Two of its own who stand for one may have been struck out above.
  if redis.call('EXISTS', P .. 'needs:' .. id) == 0 and redis.call('ZSCORE', P .. 'blocked', id) then unblock(P, id, now) end
end

-- Where a blocked job goes when it is let go.
local function wish_place(P, id, due, lifo)
  if due and due ~= '-' then put(P, id, 'due', due) end
  if lifo == '1' then put(P, id, 'lifo', '1') end
end

-- A new job that waits. In a flow (`gated`) everyone is told of everyone else, and nobody has begun.
local function block(P, now, id, wishes, link, gated)
  local due, expires_in, lifo, group = string.match(wishes, '^%d+ (%S+) (%S+) (%d) ?(%S*)')
  if group and group ~= '' then mark(P, 'lined') end
  wish_expiry(P, now, id, expires_in)
  wish_place(P, id, due, lifo)
  for i = 1, #link.needs, 2 do
    redis.call('HSET', P .. 'needs:' .. id, link.needs[i], link.needs[i + 1])
  end
  for i = 1, #link.heirs, 2 do
    redis.call('HSET', own_heirs(P, id), link.heirs[i], link.heirs[i + 1])
  end
  add_blocked(P, id, now)
  mark(P, 'linked')
  if not gated then connect_all(P, now, id, link) end
end

-- From ARGV: for each job with links its place, the number of words about its needs, these, and likewise of its heirs.
local function links_from(at)
  local links = {}
  while ARGV[at] do
    local link = { needs = {}, heirs = {} }
    links[tonumber(ARGV[at])] = link
    at = at + 1
    for _, words in ipairs({ link.needs, link.heirs }) do
      local count = tonumber(ARGV[at])
      for i = 1, count do words[i] = ARGV[at + i] end
      at = at + count + 1
    end
  end
  return links
end

local function tell_heir(P, now, parent, heir, word, state, detail, result, kind)
  local queue, id = string.match(heir, '^([^/]+)/(.+)$')
  if not queue then return end
  local policy = string.sub(word, 1, 1)
  if policy == 'F' then result = '' end
  if queue ~= own_queue(P) then
    add_effect(P, 'kind', 'edge', 'to', queue, 'heir', id, 'parent', parent, 'policy', string.match(word, '^%a%d*'),
      'state', state, 'detail', detail, 'result', result, 'error', kind, 'at', score_text(now))
  elseif policy == 'F' or policy == 'S' then
    note_ending(P, now, id, parent, state, score_text(now), result, number_of(word))
  else
    local again = resolve_edge(P, now, id, parent, state, detail, result, kind, number_of(word))
    if again then connect(P, now, id, parent, again) end
  end
end

-- Whoever was kept until the holder of a key is done holds it now, and waits.
local function pass_key_on(P, now, key, id)
  take_key(P, now, id, nil, key)
  resolve_edge(P, now, id, 'unique', 'completed', '', '', '')
end

-- A job that asked for a key has come to an end.
local function let_go(P, now, id, word, state)
  local _, _, key = asked_of(word)
  local hold = key and stored_hold(P, key)
  if not hold then return end
  local over = not hold.till or hold.till <= now
  if hold.next == id then
    redis.pcall('HDEL', P .. 'needs:' .. id, 'unique')
    redis.pcall('HDEL', P .. 'life:' .. id, 'due', 'lifo')
    hold.next = nil
    if hold.till and over then free_key(P, key) else write_hold(P, key, hold) end
  elseif hold.id == id then
    if hold.next then
      pass_key_on(P, now, key, hold.next)
    elseif over or state == 'removed' then
      free_key(P, key)
    else
      hold.ended = state
      write_hold(P, key, hold)
    end
  end
end

-- Tells the heirs of everything that this script has brought to an end, and of what comes to an end by that; lets go of the
-- keys of all of these.
local function settle_heirs(P, now)
  local at, own = 1, own_queue(P)
  while ended[at] do
    local id, state, detail, result, kind, word = unpack(ended[at], 1, 6)
    at = at + 1
    local key, parent = P .. 'heirs:' .. id, own .. '/' .. id
    local count = redis.pcall('HLEN', key)
    if type(count) == 'number' and count > 0 then
      own_heirs(P, id)
      count = redis.call('HLEN', key)
    end
    if type(count) ~= 'number' then
      redis.call('DEL', key)
    elseif count > edges.left then
      -- Too many for one script: the outbox tells them. The list gets a number, and a mark once its job is forgotten: another
      -- one may have that id then.
      local list = next_number(P, now, 'lists')
      redis.call('HSET', key, '', redis.call('EXISTS', P .. 'job:' .. id) == 1 and list or list .. '!')
      add_effect(P, 'kind', 'spread', 'to', own, 'parent', id, 'state', state, 'detail', detail, 'result', result,
        'error', kind, 'list', list)
    elseif count > 0 then
      edges.left = edges.left - count
      local heirs = pairs_in(key)
      for i = 1, #heirs, 2 do tell_heir(P, now, parent, heirs[i], heirs[i + 1], state, detail, result, kind) end
      if redis.call('EXISTS', P .. 'job:' .. id) == 0 then redis.call('DEL', key) end
    end
    closing[id] = nil
    if type(word) == 'string' then let_go(P, now, id, word, state) end
  end
  for i = 1, #ended do ended[i] = nil end
  return edges.outbox
end

-- Whether there is something to hand on for whoever came with an effect: 1, or 2 if it may be. What it led to may lie here since an
-- earlier try, of which nobody heard: then nobody but this one may come for it.
local function is_owed(P)
  if edges.outbox then return 1 end
  return edges.again and redis.call('XLEN', P .. 'outbox') > 0 and 2 or 0
end

-- For scripts that need not wake anybody otherwise.
local function settle_heirs_and_wake(P, now)
  settle_heirs(P, now)
  if edges.unblocked and redis.call('HGET', P .. 'meta', 'paused') ~= '1' then wake(P) end
end

-- A job that was retried asks for what it needs. Where a flow is not delivered yet (`gated`), its deliverer asks for what has not been
-- asked for again.
local function ask_for(P, now, id, needs, gated)
  for i = 1, #needs, 2 do
    local again = needs[i + 1] ~= 'g' and asked_again(P, id, needs[i])
    if again and (again ~= '' or not gated) then connect(P, now, id, needs[i], needs[i + 1] .. again) end
  end
end

-- A finished job that begins again: what kept it from running is asked for anew, under a number by which a bad answer is known
-- from one that is still on its way; what it waited for besides is asked for as before. True if it waits for something.
local function relink(P, now, id)
  redis.pcall('HDEL', P .. 'life:' .. id, 'doomed')
  local number = next_number(P, now, 'retries')
  local inputs = pairs_in(P .. 'inputs:' .. id)
  for i = 1, #inputs, 2 do
    local policy, state = string.match(inputs[i + 1], '^(%a) (%a+)')
    if policy == 'f' and state ~= 'completed' then
      redis.call('HDEL', P .. 'inputs:' .. id, inputs[i])
      redis.call('HSET', P .. 'needs:' .. id, inputs[i], 'f')
      redis.call('HSET', P .. 'asked:' .. id, inputs[i], number)
    end
  end
  local key, list = own_heirs(P, id)
  local heirs, own = pairs_in(key), own_queue(P)
  for i = 1, #heirs, 2 do
    local word = string.match(heirs[i + 1], '^[FS]')
    if word then
      local queue, flow = string.match(heirs[i], '^([^/]+)/(.+)$')
      redis.call('HSET', key, heirs[i], word .. number .. (list and '+' .. list or ''))
      if queue == own then
        reopen(P, now, flow, own .. '/' .. id, tonumber(number))
      else
        add_effect(P, 'kind', 'reopen', 'to', queue, 'heir', flow, 'parent', own .. '/' .. id, 'number', number)
      end
    end
  end
  if redis.call('EXISTS', P .. 'needs:' .. id) == 0 then return false end
  add_blocked(P, id, now)
  local needs, gated = pairs_in(P .. 'needs:' .. id), false
  for i = 1, #needs, 2 do gated = gated or string.match(needs[i], '^flow/') end
  if edges.asks * 2 < #needs then
    -- Too many for one script: the outbox asks for them.
    add_effect(P, 'kind', 'ask', 'to', own, 'heir', id, 'gated', gated and '1' or '')
  else
    edges.asks = edges.asks - #needs / 2
    ask_for(P, now, id, needs, gated)
  end
  return true
end
