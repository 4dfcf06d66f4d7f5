-- active -> completed, failed, cancelled, delayed, waiting; delayed -> waiting; waiting -> active, failed (expired):
-- take in settlements, promote what is due, claim what is waiting.
-- KEYS: queue prefix
-- ARGV: now, worker, caller, sequence, repeated, lease ms, claim, dead letter queue,
--       completions, their keep count, their keep age, others;
--       then for each completion, all of them kept alike and without log lines: id, token, result ('' null);
--       then for each other settlement: id, token, kind, a, b, c, d, e, number of log lines, log lines
--         c completed: a result ('' null), b keep count, c keep age
--         r retry:     a error JSON, b delay ms, d error type
--         f failed:    a error JSON, b keep count, c keep age, d error type, e dead letter queue (kind F: no attempt spent)
--         l released:  a reason, b delay ms, c hold of the queue in ms
--         x cancelled: a reason, b keep count, c keep age
-- RETURNS: now, first token, look again at ms ('' never), more waiting, paused, outbox, refused ids, claimed at,
--          then for each claimed job: id, record: what stands under "job" where there is nothing else, or the hash flat
--          (empty: lost since)
-- COST: O(log n) for each job settled, promoted and claimed; 1000 promoted at the most
-- INCLUDES: clock events order state finish logs
local P, now = KEYS[1], now_ms(ARGV[1])
local worker, caller, sequence = ARGV[2], ARGV[3], ARGV[4]
local lease_ms, claim, dead_letter = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
local completions, keep_count, keep_age, others = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local now_text = score_text(now)

-- A repeat of what went through gets the same leases and the same refusals, and does nothing twice.
if ARGV[5] == '1' then
  local kept = redis.call('HGET', P .. 'calls', caller)
  local last, at, first, claimed, refused = string.match(kept or '', '^(%d+) (%d+) (%d+)|([^|]*)|([^|]*)$')
  if last == sequence then
    local token = tonumber(first)
    local reply = { now_text, token, '', 1, 0, 1, {}, at }
    for id in string.gmatch(refused, '%S+') do table.insert(reply[7], id) end
    for id in string.gmatch(claimed, '%S+') do
      -- What was lost meanwhile is left empty, so that the tokens of the others stay in step.
      local held = string.match(redis.call('HGET', P .. 'leases', id) or '', '^(%d+) ') == score_text(token)
      reply[#reply + 1] = id
      reply[#reply + 1] = held and redis.call('HGETALL', P .. 'job:' .. id) or {}
      token = token + 1
    end
    return reply
  end
end

local refused, outbox = {}, false
local meta = redis.call('HMGET', P .. 'meta', 'paused', 'hold', 'token', 'done')
local paused, hold, last_token, done = meta[1] == '1', tonumber(meta[2] or 0), tonumber(meta[3] or 0), meta[4]
-- Most queues have none of these at most times, so one question stands for four.
local unusual = redis.call('EXISTS', P .. 'cancelling', P .. 'retention', P .. 'expiring', P .. 'delayed') > 0
local done_before = done

if completions + others > 0 then
  local ids, places = {}, {}
  for i = 1, completions do ids[i] = ARGV[10 + 3 * i] end
  local at = 13 + 3 * completions
  for i = completions + 1, completions + others do
    ids[i], places[i] = ARGV[at], at
    at = at + 9 + tonumber(ARGV[at + 8])
  end
  local leases = redis.call('HMGET', P .. 'leases', unpack(ids))
  local accepted, started, completed = {}, {}, {}
  for i, id in ipairs(ids) do
    local lease, token = leases[i], ARGV[i <= completions and 11 + 3 * i or places[i] + 1]
    local held, since
    if lease then held, since = string.match(lease, '^(%d+) (%d+)') end
    if held == token and not started[id] then
      accepted[#accepted + 1] = id
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
    local drop, scored = {}, {}
    for n, i in ipairs(completed) do
      local id, result = ids[i], ARGV[12 + 3 * i]
      if #result > 4096 then tell('completed', id) else tell('completed', id, result == '' and 'null' or result) end
      if n < first then
        drop[n] = id
      else
        done = next_score(done, now)
        scored[#scored + 1] = done
        scored[#scored + 1] = id
        complete(P, id, now, started[id], result, keep_age)
      end
    end
    forget(P, drop)
    add_many(P .. 'completed', scored)
    if #scored > 0 and keep_count > 0 then trim(P, 'completed', keep_count) end

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
        if wished[id] and (kind == 'r' or kind == 'l') then kind, a, b, c = 'x', wished[id], '-1', '0' end

        if kind == 'c' then
          if #a > 4096 then tell('completed', id) else tell('completed', id, a == '' and 'null' or a) end
          done = next_score(done, now)
          complete(P, id, now, started[id], a, tonumber(c))
          keep(P, 'completed', id, done, tonumber(b))
        elseif kind == 'r' then
          local key = P .. 'job:' .. id
          count_up(key, 'failures')
          put(key, 'error', a)
          watch_expiry(P, id)
          local delay = tonumber(b)
          if delay > 0 then
            add_delayed(P, id, now + delay)
            unusual = true
          else
            append_waiting(P, { id }, { priority_of(P, id) })
          end
          tell('retrying', id, b)
        elseif kind == 'f' or kind == 'F' then
          if fail(P, id, now, started[id], a, ARGV[place + 6], kind == 'f', tonumber(b), tonumber(c), ARGV[place + 7]) then
            outbox = true
          end
        elseif kind == 'l' then
          watch_expiry(P, id)
          if tonumber(b) > 0 then
            add_delayed(P, id, now + tonumber(b))
            unusual = true
          else
            front[#front + 1] = id
          end
          if now + tonumber(c) > math.max(now, hold) then
            hold = now + tonumber(c)
            redis.call('HSET', P .. 'meta', 'hold', score_text(hold))
          end
          tell('released', id, one_line(a))
        else
          cancelled(P, id, now, started[id], a, tonumber(b), tonumber(c))
        end
      end
    end
    prepend_waiting(P, front)
  end
end

-- What is due joins the end of the line.
local due = unusual and first_due(P) or nil
if due and due <= now then
  local ids = redis.call('ZRANGE', P .. 'delayed', '-inf', score_text(now * DUE + DUE - 1), 'BYSCORE', 'LIMIT', 0, 1000)
  redis.call('ZREMRANGEBYRANK', P .. 'delayed', 0, #ids - 1)
  local priorities = {}
  for i = 1, #ids do priorities[i] = priority_of(P, ids[i]) end
  append_waiting(P, ids, priorities)
  due = first_due(P)
end

hold = hold > now and hold or nil
local reply = { now_text, 0, '', 0, paused and 1 or 0, 0, refused, now_text }
local claimed = {}
if claim > 0 and not paused and not hold then
  local deadlines, leases = {}, {}
  while #claimed < claim do
    local popped = redis.call('ZPOPMIN', P .. 'waiting', claim - #claimed)
    if #popped == 0 then break end
    for i = 1, #popped, 2 do
      local id = popped[i]
      local hash = redis.pcall('HGETALL', P .. 'job:' .. id)
      local expires
      if #hash > 2 then
        for f = 1, #hash, 2 do if hash[f] == 'expires' then expires = tonumber(hash[f + 1]) end end
      end
      if expires and expires <= now then
        if fail_expired(P, id, now, dead_letter) then outbox = true end
      elseif hash.err then
        if fail_unreadable(P, id, now, dead_letter) then outbox = true end
      elseif #hash > 0 then
        claimed[#claimed + 1] = id
        reply[#reply + 1] = id
        reply[#reply + 1] = #hash == 2 and hash[1] == 'job' and hash[2] or hash
      end
    end
  end
  if #claimed > 0 then
    local first, deadline, tail = last_token + 1, now + lease_ms, ' ' .. now_text .. ' ' .. worker
    reply[2] = first
    last_token = last_token + #claimed
    for i = 1, #claimed do
      deadlines[2 * i - 1] = deadline
      deadlines[2 * i] = claimed[i]
      leases[2 * i - 1] = claimed[i]
      leases[2 * i] = score_text(first + i - 1) .. tail
    end
    tell_many('started', '', claimed)
    redis.call('ZADD', P .. 'active', unpack(deadlines))
    redis.call('HSET', P .. 'leases', unpack(leases))
  end
end

if #claimed > 0 then
  redis.call('HSET', P .. 'meta', 'token', score_text(last_token), 'done', score_text(tonumber(done or 0)))
elseif done ~= done_before then
  redis.call('HSET', P .. 'meta', 'done', score_text(done))
end

local look_again = due
if hold and (not look_again or hold < look_again) then look_again = hold end
if look_again then reply[3] = score_text(look_again) end
if #claimed == claim or paused or hold then
  if redis.call('ZCARD', P .. 'waiting') > 0 then
    reply[4] = 1
    if not paused and not hold then wake(P) end
  end
end
if outbox then reply[6] = 1 end
if #claimed + completions + others > 0 then
  redis.call('HSET', P .. 'calls', caller, sequence .. ' ' .. now_text .. ' ' .. score_text(reply[2]) ..
    '|' .. table.concat(claimed, ' ') .. '|' .. table.concat(refused, ' '))
end
publish(P, now)
return reply
