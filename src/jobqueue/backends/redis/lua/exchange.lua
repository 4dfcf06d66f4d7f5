-- active -> completed, failed, cancelled, delayed, waiting; delayed -> waiting; waiting -> active, failed (expired):
-- take in settlements, promote what is due, claim what is waiting.
-- KEYS: queue prefix
-- ARGV: now, worker, caller, sequence, repeated, lease ms, claim, dead letter queue, settlements;
--       then for each settlement: id, token, kind, a, b, c, d, e, number of log lines, log lines
--         c completed: a result ('' null), b keep count, c keep age
--         r retry:     a error JSON, b delay ms, d error type
--         f failed:    a error JSON, b keep count, c keep age, d error type, e dead letter queue (kind F: no attempt spent)
--         l released:  a reason, b delay ms, c hold of the queue in ms
--         x cancelled: a reason, b keep count, c keep age
-- RETURNS: now, first token, look again at ms ('' never), more waiting, paused, outbox, refused ids, claimed at,
--          then for each claimed job: id, hash (empty: lost since)
-- COST: O(log n) for each job settled, promoted and claimed; 1000 promoted at the most
-- INCLUDES: clock events order state finish logs
local P, now = KEYS[1], now_ms(ARGV[1])
local worker, caller, sequence = ARGV[2], ARGV[3], ARGV[4]
local lease_ms, claim, dead_letter, settlements = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], tonumber(ARGV[9])
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

if settlements > 0 then
  local places, ids, at = {}, {}, 9
  for i = 1, settlements do
    places[i] = at
    ids[i] = ARGV[at + 1]
    at = at + 9 + tonumber(ARGV[at + 9])
  end
  local leases = redis.call('HMGET', P .. 'leases', unpack(ids))
  local accepted, started = {}, {}
  local accepted_ids = {}
  for i = 1, settlements do
    local token, since = string.match(leases[i] or '', '^(%d+) (%d+)')
    if token and token == ARGV[places[i] + 2] and not started[ids[i]] then
      accepted[#accepted + 1] = i
      accepted_ids[#accepted_ids + 1] = ids[i]
      started[ids[i]] = since
    else
      refused[#refused + 1] = ids[i]
    end
  end

  if #accepted > 0 then
    -- A removal comes first: on a full server a script may go on writing once it has begun with one.
    redis.call('ZREM', P .. 'active', unpack(accepted_ids))
    redis.call('HDEL', P .. 'leases', unpack(accepted_ids))
    local cancelling = redis.call('EXISTS', P .. 'cancelling') == 1
    local completed, front = {}, {}
    local count, uniform = nil, true

    for _, i in ipairs(accepted) do
      local place, id = places[i], ids[i]
      local kind, a, b, c = ARGV[place + 3], ARGV[place + 4], ARGV[place + 5], ARGV[place + 6]
      local lines = tonumber(ARGV[place + 9])
      if lines > 0 then
        local texts = {}
        for l = 1, lines do texts[l] = ARGV[place + 9 + l] end
        append_logs(P, id, texts)
      end
      local wish = cancelling and redis.call('HGET', P .. 'cancelling', id)
      if wish then
        redis.call('HDEL', P .. 'cancelling', id)
        if kind == 'r' or kind == 'l' then kind, a, b, c = 'x', wish, '-1', '0' end
      end

      if kind == 'c' then
        completed[#completed + 1] = i
        b = tonumber(b)
        if count and count ~= b then uniform = false end
        count = b
        if #a > 4096 then tell('completed', id) else tell('completed', id, a == '' and 'null' or a) end
      elseif kind == 'r' then
        local key = P .. 'job:' .. id
        count_up(key, 'failures')
        put(key, 'error', a)
        watch_expiry(P, id)
        local delay = tonumber(b)
        if delay > 0 then
          add_delayed(P, id, now + delay)
        else
          append_waiting(P, { id }, { priority_of(P, id) })
        end
        tell('retrying', id, b)
      elseif kind == 'f' or kind == 'F' then
        if fail(P, id, now, started[id], a, ARGV[place + 7], kind == 'f', tonumber(b), tonumber(c), ARGV[place + 8]) then
          outbox = true
        end
      elseif kind == 'l' then
        watch_expiry(P, id)
        if tonumber(b) > 0 then add_delayed(P, id, now + tonumber(b)) else front[#front + 1] = id end
        if tonumber(c) > 0 then
          local hold = tonumber(redis.call('HGET', P .. 'meta', 'hold') or '0')
          if now + tonumber(c) > hold then redis.call('HSET', P .. 'meta', 'hold', score_text(now + tonumber(c))) end
        end
        tell('released', id, one_line(a))
      else
        cancelled(P, id, now, started[id], a, tonumber(b), tonumber(c))
      end
    end
    prepend_waiting(P, front)

    if uniform and count then
      -- Completed jobs that this same batch would trim again are dropped without being written.
      local drop = {}
      local first = 1
      if count == 0 then first = #completed + 1 elseif count > 0 then first = math.max(1, #completed - count + 1) end
      for n = 1, first - 1 do drop[n] = ids[completed[n]] end
      forget(P, drop)
      if first <= #completed then
        local score, scored = finished_score(P, 'completed', now), {}
        for n = first, #completed do
          local place, id = places[completed[n]], ids[completed[n]]
          local key, result = P .. 'job:' .. id, ARGV[place + 4]
          if result == '' then
            put(key, 'started', started[id], 'finished', now_text)
          else
            put(key, 'started', started[id], 'finished', now_text, 'result', result)
          end
          local age = tonumber(ARGV[place + 6])
          if age > 0 then redis.call('ZADD', P .. 'retention', score_text(now + age), id) end
          scored[#scored + 1] = score_text(score)
          scored[#scored + 1] = id
          score = score + 1
        end
        add_many(P .. 'completed', scored)
        if count > 0 then trim(P, 'completed', count) end
      end
    else
      for _, i in ipairs(completed) do
        local place, id = places[i], ids[i]
        put(P .. 'job:' .. id, 'started', started[id], 'finished', now_text)
        if ARGV[place + 4] ~= '' then redis.call('HSET', P .. 'job:' .. id, 'result', ARGV[place + 4]) end
        retain(P, 'completed', id, now, tonumber(ARGV[place + 5]), tonumber(ARGV[place + 6]))
      end
    end
  end
end

-- What is due joins the end of the line.
local due = first_due(P)
if due and due <= now then
  local ids = redis.call('ZRANGE', P .. 'delayed', '-inf', score_text(now * DUE + DUE - 1), 'BYSCORE', 'LIMIT', 0, 1000)
  redis.call('ZREMRANGEBYRANK', P .. 'delayed', 0, #ids - 1)
  local priorities = {}
  for i = 1, #ids do priorities[i] = priority_of(P, ids[i]) end
  append_waiting(P, ids, priorities)
  due = first_due(P)
end

local paused, hold = is_held(P, now)
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
      for f = 1, #hash, 2 do if hash[f] == 'expires' then expires = tonumber(hash[f + 1]) end end
      if expires and expires <= now then
        if fail_expired(P, id, now, dead_letter) then outbox = true end
      elseif hash.err then
        if fail_unreadable(P, id, now, dead_letter) then outbox = true end
      elseif #hash > 0 then
        claimed[#claimed + 1] = id
        reply[#reply + 1] = id
        reply[#reply + 1] = hash
      end
    end
  end
  if #claimed > 0 then
    local first = redis.call('HINCRBY', P .. 'meta', 'token', #claimed) - #claimed + 1
    reply[2] = first
    local deadline, tail = score_text(now + lease_ms), ' ' .. now_text .. ' ' .. worker
    for i = 1, #claimed do
      deadlines[2 * i - 1] = deadline
      deadlines[2 * i] = claimed[i]
      leases[2 * i - 1] = claimed[i]
      leases[2 * i] = score_text(first + i - 1) .. tail
      tell('started', claimed[i])
    end
    redis.call('ZADD', P .. 'active', unpack(deadlines))
    redis.call('HSET', P .. 'leases', unpack(leases))
  end
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
if #claimed > 0 or settlements > 0 then
  redis.call('HSET', P .. 'calls', caller, sequence .. ' ' .. now_text .. ' ' .. score_text(reply[2]) ..
    '|' .. table.concat(claimed, ' ') .. '|' .. table.concat(refused, ' '))
end
publish(P, now)
return reply
