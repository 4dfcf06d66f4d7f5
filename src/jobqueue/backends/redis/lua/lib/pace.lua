-- A rate: how many may start now, and when the next one may. The same in Python, with the reasons: model/pace.py.
-- It is set as "limit/period in ms/burst"; what has started is kept as "at level|ms:count ms:count ...".
local function open_pace(set, kept, now, lag)
  local limit, per, burst = string.match(set, '^(%d+)/(%d+)/(%d+)$')
  if not limit then return nil end
  local pace = { limit = tonumber(limit), per = tonumber(per), marks = {}, used = 0, level = 0 }
  pace.longest = pace.per + math.floor(pace.per / 4)
  -- For how long a start counts, and which of those that are kept count now.
  pace.held, pace.first = math.min(pace.longest, pace.per + lag), 1
  pace.level = tonumber(burst) * pace.per
  local at, level, marks = string.match(kept or '', '^(%d+) (-?%d+)|(.*)$')
  if at then
    pace.level = math.min(pace.level, tonumber(level) + (now - math.min(tonumber(at), now)) * pace.limit)
    for when, count in string.gmatch(marks, '(%d+):(%d+)') do
      -- A clock that was set back must not hold anything up for longer than a period.
      when, count = math.min(tonumber(when), now), tonumber(count)
      if when > now - pace.longest then pace.marks[#pace.marks + 1] = { when, count } end
      if when > now - pace.held then
        pace.used = pace.used + count
      else
        pace.first = #pace.marks + 1
      end
    end
  end
  return pace
end

local function pace_left(pace)
  return math.max(0, math.min(pace.limit - pace.used, math.floor(pace.level / pace.per)))
end

local function pace_next(pace, now)
  local moment, used = now, pace.used
  for i = pace.first, #pace.marks do
    local start = pace.marks[i]
    if used < pace.limit then break end
    used = used - start[2]
    moment = start[1] + pace.held
  end
  local lacking = pace.per - pace.level
  if lacking > 0 then moment = math.max(moment, now + math.ceil(lacking / pace.limit)) end
  return moment
end

-- Returns what is to be kept.
local function pace_take(pace, now, count)
  pace.level = pace.level - count * pace.per
  pace.used = pace.used + count
  local grain, last = pace.limit > 64 and math.ceil(pace.per / 64) or 1, pace.marks[#pace.marks]
  if last and math.floor(last[1] / grain) == math.floor(now / grain) then
    last[1], last[2] = now, last[2] + count
  else
    pace.marks[#pace.marks + 1] = { now, count }
  end
  local marks = {}
  for i, start in ipairs(pace.marks) do marks[i] = score_text(start[1]) .. ':' .. score_text(start[2]) end
  return score_text(now) .. ' ' .. score_text(pace.level) .. '|' .. table.concat(marks, ' ')
end
