-- Schedules stand in one set by when they are due; a paused or ended one stands at its end, at infinity.

local SCHEDULE = { 'plan', 'job', 'revision', 'tick', 'due', 'anchor', 'paused', 'declared', 'runs', 'skipped', 'last', 'last_at' }

-- In how many ms the first schedule is due, '' if none is in sight.
local function first_schedule_in(P, now)
  local first = redis.call('ZRANGE', P .. 'schedules', 0, 0, 'WITHSCORES')[2]
  -- Somebody may have written that; the next round puts it right.
  if first == '-inf' then return '0' end
  local due = first and finite(first)
  return due and score_text(math.max(0, due - now)) or ''
end

-- '' is no moment.
local function enter_schedule(P, id, due)
  redis.call('ZADD', P .. 'schedules', due == '' and '+inf' or due, id)
end

-- What stands in a schedule's hash, or nil; what somebody made into something else is none.
local function schedule_of(P, id)
  local fields = redis.pcall('HMGET', P .. 'schedule:' .. id, unpack(SCHEDULE))
  if fields.err or not fields[3] then return nil end
  -- What is no moment of ours is none.
  for _, place in ipairs({ 4, 5 }) do
    local digits = string.match(fields[place] or '', '^%d+$')
    if not digits or tonumber(digits) > 253402300799999 then fields[place] = false end
  end
  return fields
end

-- Those of `ids` that there are, each with its id before its fields; what is none is struck off.
local function schedules_of(P, ids)
  local found = {}
  for _, id in ipairs(ids) do
    local fields = schedule_of(P, id)
    if fields then
      found[#found + 1] = { id, fields }
    else
      redis.call('ZREM', P .. 'schedules', id)
    end
  end
  return found
end
