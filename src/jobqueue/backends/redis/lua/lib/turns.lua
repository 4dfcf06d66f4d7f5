-- Who may start now, under the limits of the queue, its types and its groups. A book is kept for the length of one exchange.
local PARKED_AT_ONCE = 1000

-- What is read of the limits before anything is claimed. `rooms` is what the worker says of its own limits: "type n ...".
local function open_book(P, now, claim, lag, rooms)
  local book = {
    left = claim, lag = lag, rooms = {}, ours = {}, parked = 0, lent = false,
    groups = {}, touched = {}, lines = {}, scores = {}, -- of those that had a turn: entries, names, lines, where they stand
    group_of = {}, kind_of = {}, pending = {}, counted = 0, seated = {}, leaving = {}, -- of the jobs that were taken
  }
  local set = settings_of(P)
  if set.concurrency then
    book.places = math.max(0, tonumber(set.concurrency) - redis.call('ZCARD', P .. 'active'))
    book.left = math.min(book.left, book.places)
  end
  book.pace = set.rate and open_pace(set.rate, redis.call('HGET', P .. 'meta', 'pace'), now, lag)
  if book.pace then book.left = math.min(book.left, pace_left(book.pace)) end
  for name, most in pairs(set) do
    local kind = string.match(name, '^type:(.+)$')
    if kind then
      book.rooms[kind] = math.max(0, tonumber(most) - redis.call('ZCARD', P .. 'running:' .. kind))
      book.typed = true
    end
  end
  for kind, room in string.gmatch(rooms or '', '(%S+) (%d+)') do
    if tonumber(room) < (book.rooms[kind] or 9007199254740991) then
      book.rooms[kind], book.ours[kind] = tonumber(room), true
    end
    book.typed = true
  end
  book.turned = book.typed or has(P, 'lined')
  if #redis.call('ZRANGE', P .. 'parked', 0, 0) > 0 then book.typed = true end
  return book
end

-- What is known of a group in this exchange: how many of it may start. None is kept while nothing is set for any group or type.
local function entry_of(P, book, group, now)
  local entry = book.groups[group]
  if not entry then
    local spec = spec_of(P, group)
    entry = { left = 9007199254740991, spec = spec, accepted = 0 }
    if spec.paused then entry.left = 0 end
    if spec.concurrency then
      entry.left = math.min(entry.left, math.max(0, spec.concurrency - busy_of(P, group)))
    end
    entry.pace = spec.rate and open_pace(spec.rate, redis.call('HGET', P .. 'rates', group), now, book.lag)
    if entry.pace then entry.left = math.min(entry.left, pace_left(entry.pace)) end
    book.groups[group] = entry
  end
  return entry
end

local function has_room(book, kind)
  return not book.rooms[kind] or book.rooms[kind] > 0
end

-- Whether nothing is set for any group or type, and nothing set aside: whoever stands in a line may start.
local function is_plain(P, book)
  return not book.typed and not are_special(P)
end

local function park(P, book, group, kind, id, score)
  redis.call('ZREM', line_key(P, group), id)
  redis.call('ZADD', parked_key(P, kind, group), score, id)
  redis.call('ZADD', P .. 'aside', score, id)
  redis.call('ZADD', P .. 'parked', 0, kind)
  redis.call('ZADD', P .. 'holding:' .. kind, 0, group)
  mark(P, 'lined')
  all_parked = nil
  book.parked = book.parked + 1
  -- Full here and not everywhere: another worker may want to know.
  if book.ours[kind] then book.lent = true end
end

-- The first job of a group that may start, taken out of its line; nil if there is none.
local function pick(P, book, group, entry)
  while entry.left > 0 and book.parked < PARKED_AT_ONCE do
    local id, kind, aside
    if not book.typed then
      id, kind, aside = redis.call('ZPOPMIN', line_key(P, group))[1], '', group ~= ''
      if not id then return nil end
    else
      local first = redis.call('ZRANGE', line_key(P, group), 0, 0, 'WITHSCORES')
      local key
      if first[1] then key, kind = line_key(P, group), (nature_of(P, first[1])) end
      for _, other in ipairs(parked_types(P)) do
        if has_room(book, other) then
          local head = redis.call('ZRANGE', parked_key(P, other, group), 0, 0, 'WITHSCORES')
          if head[1] and (not first[1] or tonumber(head[2]) < tonumber(first[2])) then
            first, key, kind = head, parked_key(P, other, group), other
          end
        end
      end
      if not first[1] then return nil end
      if has_room(book, kind) then
        id, aside = first[1], key ~= P .. 'waiting'
        redis.call('ZREM', key, id)
        if key ~= line_key(P, group) then unpark(P, kind, group) end
      else
        park(P, book, group, kind, first[1], first[2])
      end
    end
    -- Who stands in a line and nowhere else was taken out of it by somebody who could not know which it was.
    if id and aside and not book.typed then
      -- Taken out of `aside` together with the others of this exchange.
      book.leaving[#book.leaving + 1] = id
      aside = false
    end
    if id and (not aside or redis.call('ZREM', P .. 'aside', id) == 1) then
      if book.rooms[kind] then book.rooms[kind] = book.rooms[kind] - 1 end
      entry.left = entry.left - 1
      book.group_of[id], book.kind_of[id] = group, kind
      return id
    end
  end
  return nil
end

-- Groups whose time has come, and those whose types have room again, take their turns.
local function call_in(P, book, now, count)
  though_full(P)
  local rested = redis.call('ZRANGE', P .. 'resting', '-inf', score_text(now), 'BYSCORE', 'LIMIT', 0, 1000)
  for _, group in ipairs(rested) do
    redis.call('ZREM', P .. 'resting', group)
    if has_jobs(P, group) then seat(P, group) end
  end
  for _, kind in ipairs(book.typed and parked_types(P) or {}) do
    if has_room(book, kind) then
      for _, group in ipairs(redis.call('ZRANGE', P .. 'stuck:' .. kind, 0, math.min(count, book.rooms[kind] or count) - 1)) do
        redis.call('ZREM', P .. 'stuck:' .. kind, group)
        seat(P, group)
      end
    end
  end
  if redis.call('EXISTS', P .. 'waiting') == 1 then seat(P, '') end
end

-- What turned out to be expired or gone takes no place.
local function reckon(book, claimed)
  local all_there = book.counted + #book.pending == #claimed
  book.counted = #claimed
  if all_there then
    book.pending = {}
    return
  end
  local accepted = {}
  for _, id in ipairs(claimed) do accepted[id] = true end
  for _, id in ipairs(book.pending) do
    if not accepted[id] then
      local entry, kind = book.groups[book.group_of[id]], book.kind_of[id]
      if book.rooms[kind] then book.rooms[kind] = book.rooms[kind] + 1 end
      if entry then entry.left = entry.left + 1 end
    end
  end
  book.pending = {}
end

-- Takes up to `count` jobs, one from each group whose turn it is.
local function take_turns(P, book, now, count, claimed)
  reckon(book, claimed)
  if not book.called then
    call_in(P, book, now, count)
    book.called = true
  end
  local popped, scores, plain = {}, book.scores, is_plain(P, book)
  while #popped < count and book.parked < PARKED_AT_ONCE do
    -- The groups in the order of their turns, and where each stands: whoever had one is put in again further back.
    local names, places, first, moved = {}, {}, 1, {}
    local found = redis.call('ZRANGE', P .. 'turns', 0, count - 1, 'WITHSCORES')
    local last = #found / 2
    if last == 0 then break end
    for i = 1, last do names[i], places[i] = found[2 * i - 1], tonumber(found[2 * i]) end
    while first <= last and #popped < count and book.parked < PARKED_AT_ONCE do
      local group, score, stride, id = names[first], places[first], 1000000, nil
      first = first + 1
      if not scores[group] then
        book.touched[#book.touched + 1] = group
        book.lines[#book.touched] = line_key(P, group)
      end
      if plain then
        id = redis.call('ZPOPMIN', line_key(P, group))[1]
        if id then
          book.group_of[id] = group
          if group ~= '' then book.leaving[#book.leaving + 1] = id end
        end
      else
        local entry = entry_of(P, book, group, now)
        id, stride = pick(P, book, group, entry), entry.spec.stride
      end
      if id then
        popped[#popped + 1] = id
        score = score + stride
        moved[group] = score
        last = last + 1
        local place = last
        while place > first and places[place - 1] > score do
          names[place], places[place] = names[place - 1], places[place - 1]
          place = place - 1
        end
        names[place], places[place] = group, score
      elseif book.parked < PARKED_AT_ONCE then
        redis.call('ZREM', P .. 'turns', group)
        moved[group] = nil
        book.emptied = true
      end
      scores[group] = score
    end
    local scored = {}
    for group, score in pairs(moved) do scored[#scored + 1], scored[#scored + 2] = score, group end
    add_to_table(P .. 'turns', scored)
  end
  if #book.leaving > 0 and redis.call('ZREM', P .. 'aside', unpack(book.leaving)) < #book.leaving then
    -- Somebody has overwritten a record: `typed` books look at each by itself, and what was gone is no job any more.
    book.typed = true
  end
  book.leaving = {}
  book.pending = popped
  return popped
end

-- Where a group stands after an exchange that has touched it.
local function place_group(P, book, group, now)
  local entry = entry_of(P, book, group, now)
  local spec, here = entry.spec, redis.call('EXISTS', line_key(P, group)) == 1
  local startable, full = here, {}
  for _, kind in ipairs(book.typed and parked_types(P) or {}) do
    if redis.call('EXISTS', parked_key(P, kind, group)) == 1 then
      here = true
      if has_room(book, kind) then startable = true else full[#full + 1] = kind end
    end
  end
  if not here then return vacate(P, group) end
  local held = spec.paused or (spec.concurrency and busy_of(P, group) >= spec.concurrency)
  if not held and entry.pace and pace_left(entry.pace) == 0 then
    rest_until(P, group, pace_next(entry.pace, now))
  elseif held or not startable then
    redis.call('ZREM', P .. 'turns', group)
  else
    book.seated[#book.seated + 1], book.seated[#book.seated + 2] = book.scores[group], group
    return
  end
  for _, kind in ipairs(full) do
    if not redis.call('ZSCORE', P .. 'stuck:' .. kind, group) then
      redis.call('ZADD', P .. 'stuck:' .. kind, redis.call('HINCRBY', P .. 'meta', 'stuck', 1), group)
    end
  end
end

-- Whether every group that had a turn still has jobs and may go on, where its turn has put it.
local function have_all_jobs_left(P, book)
  if book.emptied or #book.touched == 0 or #book.touched > 1000 or not is_plain(P, book) then return false end
  return redis.call('EXISTS', unpack(book.lines)) == #book.lines
end

-- What was claimed is entered. Returns whether more may start now, whether something waits that may not, and until when.
local function close_book(P, book, now, claimed, leases)
  local set, busy, running = settings_of(P), {}, {}
  reckon(book, claimed)
  for i, id in ipairs(claimed) do
    local group, kind = book.group_of[id] or '', book.kind_of[id] or ''
    if kind ~= '' and not set['type:' .. kind] then kind = '' end
    if group ~= '' then
      local entry = book.groups[group]
      if entry then entry.accepted = entry.accepted + 1 end
      busy[#busy + 1], busy[#busy + 2] = '0', group .. ' ' .. id
    end
    if kind ~= '' then
      running[kind] = running[kind] or {}
      table.insert(running[kind], 0)
      table.insert(running[kind], id)
    end
    if group ~= '' or kind ~= '' then leases[2 * i] = leases[2 * i] .. '\n' .. kind .. '\n' .. group end
  end
  add_to_table(P .. 'busy', busy)
  for kind, members in pairs(running) do add_to_table(P .. 'running:' .. kind, members) end
  if book.pace and #claimed > 0 then redis.call('HSET', P .. 'meta', 'pace', pace_take(book.pace, now, #claimed)) end
  -- Who has had the fewest turns comes first, where many wait for a place of the same type.
  if book.typed then
    local scores, places = book.scores, {}
    for i, group in ipairs(book.touched) do places[group] = i end
    table.sort(book.touched, function(one, other)
      if scores[one] ~= scores[other] then return scores[one] < scores[other] end
      return places[one] < places[other]
    end)
  end
  if not have_all_jobs_left(P, book) then
    for _, group in ipairs(book.touched) do
      local entry = book.groups[group]
      if entry and entry.pace and entry.accepted > 0 then
        redis.call('HSET', P .. 'rates', group, pace_take(entry.pace, now, entry.accepted))
        -- Then nothing of it counts any more.
        redis.call('ZADD', P .. 'fading', score_text(now + entry.pace.longest), group)
      end
      place_group(P, book, group, now)
    end
    add_to_table(P .. 'turns', book.seated)
  end

  local rest = redis.call('ZRANGE', P .. 'resting', 0, 0, 'WITHSCORES')
  local rests = tonumber(rest[2])
  if count_waiting(P) == 0 then return false, false, nil end
  if book.places and book.places <= #claimed then return false, true, nil end
  if book.pace and pace_left(book.pace) == 0 then return false, true, pace_next(book.pace, now) end
  if book.parked >= PARKED_AT_ONCE then return true, false, now end
  local more = redis.call('EXISTS', P .. 'waiting', P .. 'turns') > 0
  for _, kind in ipairs(book.typed and parked_types(P) or {}) do
    if has_room(book, kind) and redis.call('EXISTS', P .. 'stuck:' .. kind) == 1 then more = true end
  end
  return more, not more, rests
end
