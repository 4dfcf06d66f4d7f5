-- How a job ends: into completed, failed or cancelled, trimmed by its retention, with effects in the outbox if it leaves a
-- letter or somebody is told of it by a webhook.

local function next_score(last, now)
  return math.max(now * DUE, (tonumber(last or 0) or 0) + 1)
end

-- The scores of finished jobs rise even within one millisecond, so that "the oldest" is exact.
local function finished_score(P, state, now)
  local last = redis.call('ZRANGE', P .. state, -1, -1, 'WITHSCORES')
  return next_score(last[2], now)
end

local function trim(P, state, count)
  local excess = redis.call('ZCARD', P .. state) - count
  while excess > 0 do
    local ids = take_first(P .. state, math.min(excess, 1000))
    if #ids == 0 then return end
    forget(P, ids)
    excess = excess - #ids
  end
end

-- What became of the job has been written down; count -1 keeps all, 0 only this one goes.
local function keep(P, state, id, score, count)
  if count == 0 then
    forget(P, { id })
    return
  end
  redis.call('ZADD', P .. state, score, id)
  if count > 0 then trim(P, state, count) end
end

-- Age 0 is for ever.
local function retain(P, state, id, now, count, age)
  if age > 0 then on_timetable(P, 'retention', now + age, id) end
  keep(P, state, id, finished_score(P, state, now), count)
end

-- How a completed job ended: "started finished", and its result on the next line.
local function ending(started, now_text, result)
  return started .. ' ' .. now_text .. '\n' .. result
end

-- The letter is built where it is delivered; here its facts are put down in the same step that fails the job.
local function leave_letter(P, id, now, queue)
  -- A letter into the queue itself would be a job that fails into its own queue for ever.
  if queue == '' or P:find('{' .. queue .. '}:', 1, true) then return false end
  local entry = { 'XADD', P .. 'outbox', '*', 'to', queue, 'id', id, 'finished', score_text(now) }
  local job = redis.pcall('GET', P .. 'job:' .. id)
  if type(job) == 'string' then
    entry[#entry + 1] = 'job'
    entry[#entry + 1] = job
  end
  -- By name, because somebody may have written thousands of fields there.
  local names = { 'failures', 'stalls', 'started', 'error', 'unique' }
  local values = redis.call('HMGET', P .. 'life:' .. id, unpack(names))
  for i, name in ipairs(names) do
    if values[i] then
      entry[#entry + 1] = name
      entry[#entry + 1] = values[i]
    end
  end
  redis.call(unpack(entry))
  return true
end

-- What endpoints are told of jobs: who they are and what they want (see keys.py), read once a script.
local hooks = {}

local function wants_type(types, kind)
  for wanted in string.gmatch(types, '%S+') do
    if wanted == kind then return true end
    if string.sub(wanted, -1) == '*' and string.sub(kind, 1, #wanted - 1) == string.sub(wanted, 1, -2) then return true end
  end
  return false
end

-- Lines of hooks, a list for each queue: what one of them does not take must not come to another one again and again.
local function by_target(told)
  table.sort(told, function(one, other) return string.match(one, '/.*') < string.match(other, '/.*') end)
  local lists, lines_for = {}, {}
  for _, line in ipairs(told) do
    local target = string.match(line, '^%S+ ([^/]*)')
    if not lines_for[target] then
      lines_for[target] = {}
      lists[#lists + 1] = lines_for[target]
    end
    table.insert(lines_for[target], line)
  end
  return lists
end

-- Notices for the endpoints that want to hear of it, one effect for each queue that they go to, in the same step that changes the
-- job and while its record is there. True if anybody wants to.
local function leave_notices(P, now, id, event, started, result, delay)
  if not has(P, 'hooked') then return false end
  if not hooks.rules then
    hooks.rules = redis.pcall('HGETALL', P .. 'hooks')
    if hooks.rules.err then hooks.rules = {} end
    hooks.claims = redis.call('HGET', P .. 'meta', 'token') or '0'
  end
  local job = redis.pcall('GET', P .. 'job:' .. id)
  job = type(job) == 'string' and job or ''
  local head, kind = string.match(job, '^(%d+ %d+ (%S+)[^\n]*)\n')
  kind = kind or ''
  -- What became of deliveries is told to nobody: it would never end.
  if kind == 'webhook.delivery' then return false end
  local letter, told, whole, data, with_result = event == 'cancelled' and 'x' or string.sub(event, 1, 1), {}, false, false, false
  for i = 1, #hooks.rules, 2 do
    local occasions, parts, all, target, types = string.match(hooks.rules[i + 1], '^(%a*) (%S+) (%d) (%S+) (.*)$')
    if occasions and string.find(occasions, letter, 1, true) and wants_type(types, kind) then
      told[#told + 1] = parts .. ' ' .. target .. '/' .. hooks.rules[i]
      whole = whole or all == '1'
      data = data or string.find(parts, 'd', 1, true)
      with_result = with_result or string.find(parts, 'r', 1, true)
    end
  end
  if #told == 0 then return false end
  if head and not (whole or data) then job = head .. '\n\nnull' end
  local entry = { 'XADD', P .. 'outbox', '*', 'kind', 'notice', 'event', event, 'id', id, 'at', score_text(now),
    'claims', hooks.claims, 'job', job, 'started', started or '', 'delay', delay or '0', 'hooks' }
  local hooks_at = #entry + 1
  entry[hooks_at] = ''
  if result and (whole or with_result) then
    entry[#entry + 1] = 'result'
    entry[#entry + 1] = result
  end
  if has(P, 'lives') then
    local names = { 'failures', 'stalls', 'error', 'reason' }
    local values = redis.pcall('HMGET', P .. 'life:' .. id, unpack(names))
    for i, name in ipairs(values.err and {} or names) do
      if values[i] then
        entry[#entry + 1] = name
        entry[#entry + 1] = values[i]
      end
    end
  end
  for _, lines in ipairs(by_target(told)) do
    entry[hooks_at] = table.concat(lines, '\n')
    redis.call(unpack(entry))
  end
  return true
end

local function fail(P, id, now, started, error_json, error_type, spent, count, age, dead_letter)
  if spent then count_up(P, id, 'failures') end
  put(P, id, 'error', error_json)
  if started then put(P, id, 'started', started) end
  local outbox = leave_letter(P, id, now, dead_letter)
  put(P, id, 'finished', score_text(now))
  end_of(P, id, 'failed', error_json, '', error_type)
  outbox = leave_notices(P, now, id, 'failed', started) or outbox
  retain(P, 'failed', id, now, count, age)
  tell('failed', id, error_type)
  return outbox
end

local EXPIRED = '{"type":"Expired","message":"expired in the queue before it was started"}'

local function fail_expired(P, id, now, dead_letter)
  redis.call('ZREM', P .. 'expiring', id)
  return fail(P, id, now, nil, EXPIRED, 'Expired', false, -1, 0, dead_letter)
end

local UNREADABLE = '{"type":"Unreadable","message":"its record was overwritten with something that is not a job"}'

local function fail_unreadable(P, id, now, dead_letter)
  redis.call('DEL', P .. 'job:' .. id)
  return fail(P, id, now, nil, UNREADABLE, 'Unreadable', false, -1, 0, dead_letter)
end

local function cancelled(P, id, now, started, reason, count, age)
  put(P, id, 'finished', score_text(now), 'reason', reason)
  if started then put(P, id, 'started', started) end
  end_of(P, id, 'cancelled', one_line(reason), '', '')
  local outbox = leave_notices(P, now, id, 'cancelled', started)
  retain(P, 'cancelled', id, now, count, age)
  tell('cancelled', id, one_line(reason))
  return outbox
end
