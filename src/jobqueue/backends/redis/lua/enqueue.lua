-- (none) -> waiting, delayed: write new jobs, all or none.
-- KEYS: queue prefix
-- ARGV: now, caller, sequence, repeated, count; then for each job: id, type, wishes, rest of the record
--       wishes are '' (priority 3, at once) or 'priority due expires lifo': due is '-' (at once), '+ms' from now, or ms
--       since 1970; expires is '-' or ms from now; the rest is '\noptions\ndata'
-- RETURNS: now; then for each job 1 (waiting), 2 (delayed), or the picture of the job that has the id already
-- COST: O(log n) for each job
-- INCLUDES: clock events order state
local P, now = KEYS[1], now_ms(ARGV[1])
local caller, sequence, count = ARGV[2], ARGV[3], tonumber(ARGV[5])
local now_text, JOB = score_text(now), P .. 'job:'
local reply = { now_text }

-- A repeat whose first try went through adds nothing, not even where the job has come and gone since.
local went_through = ARGV[4] == '1'
  and string.match(redis.call('HGET', P .. 'calls', caller) or '', '^(%d+)') == sequence

local waiting, priorities, front, delayed = {}, nil, {}, {}

-- What a job wants besides being run: rare, so it is kept out of the loop below.
local function place(id, wishes)
  local priority, due, expires_in, lifo = string.match(wishes, '^(%d+) (%S+) (%S+) (%d)$')
  if priority ~= '3' then redis.call('HSET', JOB .. id, 'priority', priority) end
  if expires_in ~= '-' then
    local expires = score_text(now + tonumber(expires_in))
    redis.call('HSET', JOB .. id, 'expires', expires)
    redis.call('ZADD', P .. 'expiring', expires, id)
  end
  local due_ms
  if due ~= '-' then due_ms = string.sub(due, 1, 1) == '+' and now + tonumber(due) or tonumber(due) end
  if due_ms and due_ms > now then
    delayed[#delayed + 1] = { id, due_ms }
    return 2
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
  return 1
end

local known, run_type, run = {}, nil, {}
for i = 1, count do
  local at = 2 + 4 * i
  local id = ARGV[at]
  local made
  if went_through then
    made = 1 - redis.call('EXISTS', JOB .. id)
    reply[i + 1] = 1
  else
    local kind, rest, large = ARGV[at + 1], ARGV[at + 3], nil
    -- Large data stands apart, so that whoever reads a record's head does not read megabytes.
    if #rest > 4096 then rest, large = string.match(rest, '^(\n[^\n]*\n)(.*)$') end
    made = redis.pcall('HSETNX', JOB .. id, 'job', now_text .. ' ' .. kind .. rest)
    if made == 1 then
      if large then redis.call('HSET', JOB .. id, 'data', large) end
      local wishes = ARGV[at + 2]
      if wishes == '' then
        waiting[#waiting + 1] = id
        if priorities then priorities[#waiting] = 3 end
        reply[i + 1] = 1
      else
        reply[i + 1] = place(id, wishes)
      end
      if kind ~= run_type then
        tell_many('enqueued', run_type, run)
        run_type, run = kind, {}
      end
      run[#run + 1] = id
    end
  end
  if made ~= 1 then
    -- A key that somebody made into something else is a job that exists; a full server takes none of them.
    if type(made) == 'table' and not string.find(made.err, 'WRONGTYPE', 1, true) then return made end
    known[#known + 1] = i
  end
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

for _, i in ipairs(known) do
  local id = ARGV[2 + 4 * i]
  if not went_through then tell('duplicate', id) end
  local state, score = state_of(P, id)
  reply[i + 1] = picture(P, id, state or 'waiting', score or 0)
end
if not went_through then redis.call('HSET', P .. 'calls', caller, sequence .. ' ' .. now_text) end
publish(P, now)
return reply
