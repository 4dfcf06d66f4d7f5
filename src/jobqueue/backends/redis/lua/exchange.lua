-- active -> completed, failed, cancelled, delayed, waiting; delayed -> waiting; waiting -> active, failed (expired):
-- take in settlements, promote what is due, claim what is waiting.
-- KEYS: queue prefix
-- ARGV: now, worker, caller, sequence, repeated ('1' or '0': it is remembered anyhow), lease ms,
--       claim ("claim lag type room type room ..." where jobs have been starting late, by lag ms, or the worker can take so
--       many of these types only), dead letter queue, how many stalls make a suspect, how many suspects to give out
--       (negative: reserved, they have not begun), completions, their keep count, their keep age, others;
--       then for each completion, all of them kept alike and without log lines: id, token, result ('' null);
--       then for each other settlement: id, token, kind, a, b, c, d, e, number of log lines, log lines
--         c completed: a result ('' null), b keep count, c keep age
--         r retry:     a error JSON, b delay ms, d error type
--         f failed:    a error JSON, b keep count, c keep age, d error type, e dead letter queue (kind F: no attempt spent)
--         l released:  a reason, b delay ms, c hold of the queue (of the job's group if it has one) in ms
--         x cancelled: a reason, b keep count, c keep age
--         w parked:    it waits for jobs it has added
--       then counters of attempts, each with what to add; at last the number of those
-- RETURNS: now, first token, look again at ms ('' never), more waiting, paused, outbox, refused ids, claimed at,
--          ids of claimed jobs, their records (nil: lost since), and for each that has a life: its place, its life;
--          whether jobs wait that may not start, and until when a limit holds them ('': no moment is known)
-- COST: O(log n) for each job settled, promoted and claimed; 1000 promoted at the most
-- INCLUDES: clock events order tables state lines full finish holds outbox flows links logs stats pace turns
local P, now = KEYS[1], now_ms(ARGV[1])
local worker, caller, sequence = ARGV[2], ARGV[3], ARGV[4]
local lease_ms, claim, lag, rooms = tonumber(ARGV[6]), tonumber(ARGV[7]), 0, nil
local dead_letter, suspect_stalls, suspects = ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10])
local completions, keep_count, keep_age, others = tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14])
local now_text = score_text(now)

-- A repeat of what went through gets the same leases and the same refusals, and does nothing twice; nor does a first try that
-- comes after its repeat.
local kept = redis.call('HGET', P .. 'calls', caller)
if kept and kept > sequence then
  -- RARELY
  local last, at, first, claimed, refused = string.match(kept, '^(%d+) (%d+) (%d+)|([^|]*)|([^|]*)$')
  if last then
    -- An older one has been given up by its caller.
    if last ~= sequence then claimed, refused = '', '' end
    -- It may have come with a marker, of which nothing comes now.
    if claimed == '' and redis.call('HGET', P .. 'meta', 'paused') ~= '1' and count_waiting(P) > 0 then wake(P) end
    local token, ids, records, lives, lost = tonumber(first), {}, {}, {}, {}
    for id in string.gmatch(refused, '%S+') do lost[#lost + 1] = id end
    for id in string.gmatch(claimed, '%S+') do
      -- What was lost meanwhile is left out, and the tokens of the others stay in step.
      local held = string.match(redis.call('HGET', P .. 'leases', id) or '', '^(%d+) ') == score_text(token)
      ids[#ids + 1] = id
      records[#ids] = held and redis.call('MGET', P .. 'job:' .. id)[1]
      local life = held and life_of(P, id)
      if life and #life > 0 then lives[#lives + 1], lives[#lives + 2] = #ids, life end
      token = token + 1
    end
    return { now_text, tonumber(first), '', 1, 0, 1, lost, at, ids, records, lives, 0, '' }
  end
  -- END RARELY
end
-- A removal comes first here too: this call is remembered, also on a full server.
if ARGV[5] == '1' then redis.call('HDEL', P .. 'calls', caller) end

local function all_there(values)
  for i = 1, #values do
    if not values[i] then return false end
  end
  return true
end

local function told_result(result)
  if #result > 4096 then return '' end
  return result == '' and 'null' or result
end

local refused, outbox = {}, false
local meta = redis.call('HMGET', P .. 'meta', 'paused', 'hold', 'token', 'done', 'lives', 'logged', 'lined',
  'limited', 'awaited', 'linked', 'hooked', 'keyed')
local paused, hold, last_token, done = meta[1] == '1', tonumber(meta[2] or 0), tonumber(meta[3] or 0), meta[4]
-- Most queues have none of these at most times, so one question stands for four.
local unusual = redis.call('EXISTS', P .. 'cancelling', P .. 'retention', P .. 'expiring', P .. 'delayed') > 0
local done_before = done
traits.lives, traits.logged, traits.lined, traits.linked = meta[5] and true, meta[6] and true, meta[7] and true, meta[10] and true
traits.hooked, traits.keyed = meta[11] and true, meta[12] and true
if not unusual then traits.timed = false end

if completions + others > 0 then
  local ids, places = {}, {}
  for i = 1, completions do ids[i] = ARGV[12 + 3 * i] end
  local at = 15 + 3 * completions
  for i = completions + 1, completions + others do
    ids[i], places[i] = ARGV[at], at
    at = at + 9 + tonumber(ARGV[at + 8])
  end
  local leases = redis.call('HMGET', P .. 'leases', unpack(ids))
  local accepted, started, completed, over = {}, {}, {}, {}
  for i, id in ipairs(ids) do
    local lease, token = leases[i], ARGV[i <= completions and 13 + 3 * i or places[i] + 1]
    local held, since
    if lease then held, since = string.match(lease, '^(%d+) (%d+)') end
    if held == token and not started[id] then
      accepted[#accepted + 1] = id
      over[#accepted] = lease
      started[id] = since
      if i <= completions then completed[#completed + 1] = i end
    else
      refused[#refused + 1] = id
      places[i] = nil
    end
  end

  if #accepted > 0 then
    -- A removal comes first: on a full server a script may go on writing once it has begun with one.
    redis.call('ZREM', P .. 'active', unpack(accepted))
    redis.call('HDEL', P .. 'leases', unpack(accepted))
    if meta[7] or meta[8] then
      -- RARELY
      end_leases(P, accepted, over)
      -- END RARELY
    end
    local wishes = unusual and redis.call('HMGET', P .. 'cancelling', unpack(accepted)) or {}
    local wished = {}
    for i, id in ipairs(accepted) do
      if wishes[i] then
        wished[id] = wishes[i]
        redis.call('HDEL', P .. 'cancelling', id)
      end
    end

    -- Those that completed alike, all at once. What this same batch would trim again is dropped without being written.
    local first = 1
    if keep_count == 0 then first = #completed + 1 end
    if keep_count > 0 then first = math.max(1, #completed - keep_count + 1) end
    local told_ids, told_results, drop, endings, scored = {}, {}, {}, {}, {}
    for n, i in ipairs(completed) do
      local id, result = ids[i], ARGV[14 + 3 * i]
      told_ids[n] = id
      told_results[n] = told_result(result)
      if n < first then
        drop[n] = id
      else
        done = next_score(done, now)
        local place = 2 * (n - first)
        scored[place + 1], scored[place + 2] = done, id
        endings[place + 1], endings[place + 2] = P .. 'end:' .. id, ending(started[id], now_text, result)
        if keep_age > 0 then on_timetable(P, 'retention', now + keep_age, id) end
      end
    end
    if traits.linked or traits.keyed then
      -- RARELY
      for n, i in ipairs(completed) do end_of(P, told_ids[n], 'completed', '', ARGV[14 + 3 * i], '') end
      -- END RARELY
    end
    if traits.hooked then
      -- RARELY
      for n, i in ipairs(completed) do
        local id = told_ids[n]
        if leave_notices(P, now, id, 'completed', started[id], ARGV[14 + 3 * i]) then outbox = true end
      end
      -- END RARELY
    end
    tell_each('completed', told_ids, told_results)
    forget(P, drop)
    if #scored > 0 then
      redis.call('MSET', unpack(endings))
      add_to_table(P .. 'completed', scored)
      if keep_count > 0 then trim(P, 'completed', keep_count) end
    end

    if others > 0 then
      -- RARELY
      local front = {}
      for i = completions + 1, completions + others do
        local place, id = places[i], ids[i]
        if place then
          local kind, a, b, c = ARGV[place + 2], ARGV[place + 3], ARGV[place + 4], ARGV[place + 5]
          local lines = tonumber(ARGV[place + 8])
          if lines > 0 then
            local texts = {}
            for l = 1, lines do texts[l] = ARGV[place + 8 + l] end
            append_logs(P, id, texts)
          end
          if wished[id] and (kind == 'r' or kind == 'l' or kind == 'w') then kind, a, b, c = 'x', wished[id], '-1', '0' end

          if kind == 'c' then
            tell('completed', id, told_result(a))
            done = next_score(done, now)
            redis.call('SET', P .. 'end:' .. id, ending(started[id], now_text, a))
            if tonumber(c) > 0 then on_timetable(P, 'retention', now + tonumber(c), id) end
            end_of(P, id, 'completed', '', a, '')
            if leave_notices(P, now, id, 'completed', started[id], a) then outbox = true end
            keep(P, 'completed', id, done, tonumber(b))
          elseif kind == 'r' then
            count_up(P, id, 'failures')
            put(P, id, 'error', a)
            watch_expiry(P, id)
            local delay = tonumber(b)
            if delay > 0 then
              add_delayed(P, id, now + delay)
              unusual = true
            else
              join(P, { id }, { priority_of(P, id) })
            end
            tell('retrying', id, b)
            if leave_notices(P, now, id, 'retrying', nil, nil, b) then outbox = true end
          elseif kind == 'f' or kind == 'F' then
            if fail(P, id, now, started[id], a, ARGV[place + 6], kind == 'f', tonumber(b), tonumber(c), ARGV[place + 7]) then
              outbox = true
            end
          elseif kind == 'l' then
            note_begun(P, id)
            watch_expiry(P, id)
            if tonumber(b) > 0 then
              add_delayed(P, id, now + tonumber(b))
              unusual = true
            else
              front[#front + 1] = id
            end
            local group = tonumber(c) > 0 and traits.lined and select(2, nature_of(P, id)) or ''
            if group ~= '' then
              rest_until(P, group, now + tonumber(c))
            elseif now + tonumber(c) > math.max(now, hold) then
              hold = now + tonumber(c)
              redis.call('HSET', P .. 'meta', 'hold', score_text(hold))
            end
            tell('released', id, one_line(a))
          elseif kind == 'w' then
            local doomed = from_life(P, id, 'doomed')
            note_begun(P, id)
            watch_expiry(P, id)
            if type(doomed) == 'string' then
              redis.call('ZREM', P .. 'expiring', id)
              if fail(P, id, now, started[id], doomed, 'DependencyFailed', false, -1, 0, '') then outbox = true end
            elseif redis.call('EXISTS', P .. 'needs:' .. id) == 1 then
              put(P, id, 'lifo', '1')
              add_blocked(P, id, now)
              tell('blocked', id)
            else
              front[#front + 1] = id
              tell('unblocked', id)
            end
          else
            if cancelled(P, id, now, started[id], a, tonumber(b), tonumber(c)) then outbox = true end
          end
        end
      end
      rejoin(P, front)
      -- END RARELY
    end
  end
end

if #ended > 0 then
  -- RARELY
  if settle_heirs(P, now) or edges.notices then outbox = true end
  if edges.unblocked then unusual = true end
  -- END RARELY
end

local tallies = tonumber(ARGV[#ARGV])
if tallies > 0 then count_attempts(P, now, #ARGV - 2 * tallies, #ARGV - 2) end

-- What is due joins the end of the line.
local due
if unusual then
  -- RARELY
  due = first_due(P)
  if due and due <= now then
    local ids = redis.call('ZRANGE', P .. 'delayed', '-inf', score_text(now * DUE + DUE - 1), 'BYSCORE', 'LIMIT', 0, 1000)
    redis.call('ZREMRANGEBYRANK', P .. 'delayed', 0, #ids - 1)
    local priorities = {}
    for i = 1, #ids do priorities[i] = priority_of(P, ids[i]) end
    join(P, ids, priorities)
    due = first_due(P)
  end
  -- Whoever sleeps must know of it, as this worker may be about to stop, or busy for long.
  if due and arrivals[due] then wake(P) end
  -- END RARELY
end

hold = hold > now and hold or nil
-- Limits and groups: what they let through, and who comes next.
local book
local allowed = claim or 0
if not claim or meta[7] or meta[8] then
  -- RARELY
  if not claim then
    claim, lag, rooms = string.match(ARGV[7], '^(%d+) (%d+) ?(.*)$')
    claim, lag = tonumber(claim), tonumber(lag)
  end
  book = open_book(P, now, claim, lag, rooms)
  book.take, book.close = take_turns, close_book
  allowed = book.left
  -- END RARELY
end

local reply = { now_text, 0, '', 0, paused and 1 or 0, 0, refused, now_text, {}, {}, {}, 0, '' }
local claimed, records, lives = reply[9], reply[10], reply[11]
local put_back, closed, more, crowded, rests = {}, false, nil, nil, nil
local given, reserved = 0, nil
if claim > 0 and not paused and not hold then
  while #claimed < allowed do
    local popped
    if book and book.turned then
      popped = book.take(P, book, now, allowed - #claimed, claimed)
    else
      popped = take_first(P .. 'waiting', allowed - #claimed)
    end
    if #popped == 0 then break end
    local found = redis.call('MGET', unpack(keys_of(P .. 'job:', popped)))
    local lively = traits.lives and redis.call('EXISTS', unpack(keys_of(P .. 'life:', popped))) > 0
    if not lively and all_there(found) then
      for i, id in ipairs(popped) do
        claimed[#claimed + 1] = id
        records[#claimed] = found[i]
      end
    else
      -- RARELY
      local function number_in(life, name, pattern)
        for at = 1, #life, 2 do
          if life[at] == name then return finite(string.match(life[at + 1], pattern or '.*')) end
        end
      end

      -- Of the jobs that have cost workers a worker gets one at a time, so that it takes no other one with it.
      local function is_suspect(life)
        -- What is no count counts as none, here as for the worker that reads it.
        local stalls = number_in(life, 'stalls', '^%d+$') or 0
        return stalls >= suspect_stalls and stalls <= 2147483647
      end

      for i, id in ipairs(popped) do
        local life = lively and life_of(P, id) or {}
        if (number_in(life, 'expires') or now + 1) <= now then
          if fail_expired(P, id, now, dead_letter) then outbox = true end
        elseif found[i] and is_suspect(life) and given >= math.abs(suspects) then
          put_back[#put_back + 1] = id
        elseif found[i] then
          claimed[#claimed + 1] = id
          if is_suspect(life) then
            given = given + 1
            if suspects < 0 then reserved = reserved or {}; reserved[#reserved + 1] = #claimed end
          end
          records[#claimed] = found[i]
          if #life > 0 then lives[#lives + 1], lives[#lives + 2] = #claimed, life end
        elseif redis.call('EXISTS', P .. 'job:' .. id) == 1 then
          if fail_unreadable(P, id, now, dead_letter) then outbox = true end
        else
          end_of(P, id, 'removed', '', '', '')
          forget(P, { id })
        end
      end
      -- END RARELY
    end
  end
  if #put_back > 0 then
    -- RARELY
    rejoin(P, put_back)
    -- END RARELY
  end
  if #ended > 0 then
    -- RARELY
    if settle_heirs(P, now) or edges.notices then outbox = true end
    if edges.unblocked then wake(P) end
    -- END RARELY
  end
  if #claimed > 0 then
    local deadlines, leases = {}, {}
    local first, deadline, tail = last_token + 1, score_text(now + lease_ms), ' ' .. now_text .. ' ' .. worker
    reply[2] = first
    last_token = last_token + #claimed
    for i = 1, #claimed do
      deadlines[2 * i - 1] = deadline
      deadlines[2 * i] = claimed[i]
      leases[2 * i - 1] = claimed[i]
      leases[2 * i] = (first + i - 1) .. tail
    end
    for _, i in ipairs(reserved or {}) do leases[2 * i] = (first + i - 1) .. ' ' .. now_text .. ' ?' .. worker end
    if book then
      more, crowded, rests = book.close(P, book, now, claimed, leases)
      closed = true
    end
    tell_many('started', '', claimed)
    add_to_table(P .. 'active', deadlines)
    set_in_table(P .. 'leases', leases)
  end
end

if #claimed > 0 then
  redis.call('HSET', P .. 'meta', 'token', score_text(last_token), 'done', score_text(tonumber(done or 0)))
elseif done ~= done_before then
  redis.call('HSET', P .. 'meta', 'done', score_text(done))
end

local look_again = due
if hold and (not look_again or hold < look_again) then look_again = hold end
if book then
  -- RARELY
  if not closed then more, crowded, rests = book.close(P, book, now, claimed, {}) end
  if rests and (not look_again or rests < look_again) then look_again = rests end
  if paused or hold then more, crowded = count_waiting(P) > 0, false end
  if more then
    reply[4] = 1
    if not paused and not hold and (#claimed == allowed or #put_back > 0) then wake(P) end
  end
  if book.lent then wake(P) end
  if crowded then reply[12] = 1 end
  if rests or hold then reply[13] = score_text(math.min(rests or hold, hold or rests)) end
  -- END RARELY
elseif #claimed == claim or #put_back > 0 or paused or hold then
  if hold then reply[13] = score_text(hold) end
  if redis.call('ZCARD', P .. 'waiting') > 0 then
    reply[4] = 1
    if not paused and not hold then wake(P) end
  end
end
if look_again then reply[3] = score_text(look_again) end
if meta[9] then
  -- Producers wait for room: one of them may look, and wakes the next.
  if tonumber(meta[9]) <= now then
    redis.call('HDEL', P .. 'meta', 'awaited')
    redis.call('DEL', P .. 'room')
  elseif #claimed > 0 then
    redis.call('ZADD', P .. 'room', 0, 'room')
  end
end
if outbox then reply[6] = 1 end
if #claimed + completions + others + tallies > 0 or ARGV[5] == '1' then
  redis.call('HSET', P .. 'calls', caller, sequence .. ' ' .. now_text .. ' ' .. score_text(reply[2]) ..
    '|' .. table.concat(claimed, ' ') .. '|' .. table.concat(refused, ' '))
end
publish(P, now)
return reply
