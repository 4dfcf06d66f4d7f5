-- (none) -> waiting, delayed: write new jobs, all or none.
-- KEYS: queue prefix
-- ARGV: now, caller, sequence, repeated, distinct, count; then for each job: id, type, wishes, rest of the record
--       distinct is '1' if no id comes twice
--       wishes are '' (priority 3, at once) or 'priority due expires lifo': due is '-' (at once), '+ms' from now, or ms
--       since 1970; expires is '-' or ms from now
--       the record is 'created priority type', options and data on three lines; its rest begins with the priority
-- RETURNS: now; a letter for each job: w (waiting), d (delayed), k (its id is known); then the picture of each known one
-- COST: O(log n) for each job
-- INCLUDES: clock events order state
local P, now = KEYS[1], now_ms(ARGV[1])
local caller, sequence, count = ARGV[2], ARGV[3], tonumber(ARGV[6])
local now_text, JOB = score_text(now), P .. 'job:'

-- A repeat whose first try went through adds nothing, not even where the job has come and gone since.
local went_through = ARGV[4] == '1'
  and string.match(redis.call('HGET', P .. 'calls', caller) or '', '^(%d+)') == sequence

local waiting, priorities, front, delayed, known = {}, nil, {}, {}, {}
local letters = {}

-- What a job wants besides being run: rare, so it is kept out of the loops below.
local function place(id, wishes)
  local priority, due, expires_in, lifo = string.match(wishes, '^(%d+) (%S+) (%S+) (%d)$')
  if expires_in ~= '-' then
    local expires = score_text(now + tonumber(expires_in))
    put(P, id, 'expires', expires)
    on_timetable(P, 'expiring', expires, id)
  end
  local due_ms
  if due ~= '-' then due_ms = string.sub(due, 1, 1) == '+' and now + tonumber(due) or tonumber(due) end
  if due_ms and due_ms > now then
    delayed[#delayed + 1] = { id, due_ms }
    return 'd'
  elseif lifo == '1' then
    front[#front + 1] = id
  else
    if not priorities then
      priorities = {}
      for i = 1, #waiting do priorities[i] = 3 end
    end
    waiting[#waiting + 1] = id
    priorities[#waiting] = tonumber(priority)
  end
  return 'w'
end

-- All in one command where all are new, which they nearly always are.
local stored = {}
local head = now_text .. ' '
for i = 1, count do
  local at = 3 + 4 * i
  stored[2 * i - 1] = JOB .. ARGV[at]
  stored[2 * i] = head .. ARGV[at + 3]
end
local all_new = not went_through and ARGV[5] == '1' and redis.call('MSETNX', unpack(stored)) == 1

local run_type, run = nil, {}
for i = 1, count do
  local at = 3 + 4 * i
  local id, kind, wishes = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if went_through then
    letters[i] = redis.call('EXISTS', JOB .. id) == 1 and 'k' or 'w'
  elseif all_new or redis.call('SET', stored[2 * i - 1], stored[2 * i], 'NX') then
    if wishes == '' then
      waiting[#waiting + 1] = id
      if priorities then priorities[#waiting] = 3 end
      letters[i] = 'w'
    else
      letters[i] = place(id, wishes)
    end
    if kind ~= run_type then
      tell_many('enqueued', run_type, run)
      run_type, run = kind, {}
    end
    run[#run + 1] = id
  else
    letters[i] = 'k'
  end
  if letters[i] == 'k' then known[#known + 1] = id end
end
tell_many('enqueued', run_type, run)

append_waiting(P, waiting, priorities)
-- Last in, first out: each goes before the one that came before it.
for _, id in ipairs(front) do prepend_waiting(P, { id }) end
if #delayed > 0 then
  local before = first_due(P)
  for _, job in ipairs(delayed) do add_delayed(P, job[1], job[2]) end
  local after = first_due(P)
  -- Whoever sleeps until the earlier due time must look at the clock again.
  if not before or after < before then wake(P) end
end
if #waiting + #front > 0 and redis.call('HGET', P .. 'meta', 'paused') ~= '1' then wake(P) end

local reply = { now_text, table.concat(letters) }
for _, id in ipairs(known) do
  if not went_through then tell('duplicate', id) end
  local state, score = state_of(P, id)
  reply[#reply + 1] = picture(P, id, state or 'waiting', score or 0)
end
if not went_through then redis.call('HSET', P .. 'calls', caller, sequence .. ' ' .. now_text) end
publish(P, now)
return reply
