-- (none) -> waiting, delayed: write new jobs, all or none.
-- KEYS: queue prefix
-- ARGV: now, caller, sequence, repeated, count; then for each job: id, type, data, priority, options, due, expires_in, lifo
--       due is '' (at once), '+ms' from now, or ms since 1970
-- RETURNS: now; then for each job 1 (waiting), 2 (delayed), or the picture of the job that has the id already
-- COST: O(log n) for each job
-- INCLUDES: clock events order state
local P, now = KEYS[1], now_ms(ARGV[1])
local caller, sequence, count = ARGV[2], ARGV[3], tonumber(ARGV[5])
local reply = { score_text(now) }
local FIELDS = 8

-- A repeat whose first try went through adds nothing, not even where the job has come and gone since.
local went_through = ARGV[4] == '1'
  and string.match(redis.call('HGET', P .. 'calls', caller) or '', '^(%d+)') == sequence

local waiting, priorities, front, delayed, seen = {}, {}, {}, {}, {}
local fresh = {}
for i = 1, count do
  local at = 5 + (i - 1) * FIELDS
  local id = ARGV[at + 1]
  if seen[id] or redis.call('EXISTS', P .. 'job:' .. id) == 1 then
    reply[i + 1] = 0
  elseif went_through then
    reply[i + 1] = 1
  else
    seen[id] = true
    fresh[#fresh + 1] = i
  end
end

for _, i in ipairs(fresh) do
  local at = 5 + (i - 1) * FIELDS
  local id, priority, options = ARGV[at + 1], ARGV[at + 4], ARGV[at + 5]
  local due, expires_in = ARGV[at + 6], ARGV[at + 7]
  local fields = { 'type', ARGV[at + 2], 'data', ARGV[at + 3], 'created', score_text(now) }
  if priority ~= '3' then fields[#fields + 1] = 'priority'; fields[#fields + 1] = priority end
  if options ~= '' then fields[#fields + 1] = 'options'; fields[#fields + 1] = options end
  if expires_in ~= '' then
    local expires = score_text(now + tonumber(expires_in))
    fields[#fields + 1] = 'expires'; fields[#fields + 1] = expires
  end
  redis.call('HSET', P .. 'job:' .. id, unpack(fields))
  if expires_in ~= '' then redis.call('ZADD', P .. 'expiring', score_text(now + tonumber(expires_in)), id) end

  local due_ms
  if due ~= '' then
    due_ms = string.sub(due, 1, 1) == '+' and now + tonumber(due) or tonumber(due)
  end
  if due_ms and due_ms > now then
    delayed[#delayed + 1] = { id, due_ms }
    reply[i + 1] = 2
  elseif ARGV[at + 8] == '1' then
    front[#front + 1] = id
    reply[i + 1] = 1
  else
    waiting[#waiting + 1] = id
    priorities[#priorities + 1] = tonumber(priority)
    reply[i + 1] = 1
  end
  tell('enqueued', id, ARGV[at + 2])
end

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

for i = 1, count do
  if reply[i + 1] == 0 then
    local id = ARGV[5 + (i - 1) * FIELDS + 1]
    if not went_through then tell('duplicate', id) end
    local state, score = state_of(P, id)
    reply[i + 1] = picture(P, id, state or 'waiting', score or 0)
  end
end
if not went_through then redis.call('HSET', P .. 'calls', caller, sequence .. ' ' .. score_text(now)) end
publish(P, now)
return reply
