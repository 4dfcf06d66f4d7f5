-- Where a job stands in line. A waiting score is priority * 2^32 + sequence: sequences begin in the middle of their 2^32,
-- the tail grows upwards and the head downwards, so that both ends stay exact within a double's 53 bits.
local SPAN, MIDDLE = 4294967296, 2147483648
local DUE = 4096 -- a delayed score is due ms * 4096 + arrival within that ms

local function waiting_score(priority, sequence)
  return priority * SPAN + math.max(0, math.min(SPAN - 1, MIDDLE + sequence))
end

-- A number out of a record, or nil: anyone with access may have written anything there, and one NaN would break a whole batch.
-- It takes what pcall gives too: an error, where the key is no record at all, is no number.
local function finite(stored)
  local number = type(stored) == 'string' and tonumber(stored)
  if number and number > -9007199254740992 and number < 9007199254740992 then return number end
  return nil
end

-- The first of `count` consecutive places at the end of the line.
local function take_tail(P, count)
  local last = redis.call('HINCRBY', P .. 'meta', 'tail', count)
  if last > 1073741824 and redis.call('EXISTS', P .. 'waiting', P .. 'aside') == 0 then
    -- Half-way through the span and nobody in line: start again from the middle.
    redis.call('HSET', P .. 'meta', 'tail', count, 'head', 0)
    last = count
  end
  return last - count
end

-- The first of `count` consecutive places before everyone in line.
local function take_head(P, count)
  return redis.call('HINCRBY', P .. 'meta', 'head', -count)
end

-- From the head of the job's record.
local function priority_of(P, id)
  local head = redis.pcall('GETRANGE', P .. 'job:' .. id, 0, 31)
  local priority = type(head) == 'string' and finite(string.match(head, '^%d+ (%d+) '))
  return priority and priority >= 0 and priority <= 2097151 and math.floor(priority) or 3
end

local function add_many(key, scored)
  if #scored > 0 then redis.call('ZADD', key, unpack(scored)) end
end

-- Takes the first of a set out of it. ZPOPMIN gives their scores too, which nobody wants and which cost more than the rest.
local function take_first(key, count)
  if count == 1 then return { redis.call('ZPOPMIN', key)[1] } end
  local members = redis.call('ZRANGE', key, 0, count - 1)
  if #members > 0 then redis.call('ZREMRANGEBYRANK', key, 0, #members - 1) end
  return members
end

-- Numbers above 2^31 must not be printed in exponent form.
local function score_text(score)
  return string.format('%.0f', score)
end

-- Without `priorities` all have the default.
local function append_waiting(P, ids, priorities)
  if #ids == 0 then return end
  local first, scored = take_tail(P, #ids), {}
  for i = 1, #ids do
    scored[2 * i - 1] = waiting_score(priorities and priorities[i] or 3, first + i)
    scored[2 * i] = ids[i]
  end
  add_many(P .. 'waiting', scored)
end

-- A batch handed back together keeps its order in front of everyone else of its priority.
local function prepend_waiting(P, ids)
  if #ids == 0 then return end
  local first, scored = take_head(P, #ids), {}
  for i = 1, #ids do
    scored[2 * i - 1] = waiting_score(priority_of(P, ids[i]), first + i - 1)
    scored[2 * i] = ids[i]
  end
  add_many(P .. 'waiting', scored)
end

-- Jobs due in the same millisecond keep their order of arrival (4096 of them; beyond that ids decide).
local arrivals = {}
local function add_delayed(P, id, due)
  local base = due * DUE
  local arrival = arrivals[due]
  if not arrival then
    local top = redis.call('ZRANGE', P .. 'delayed', '(' .. score_text(base + DUE), score_text(base),
      'BYSCORE', 'REV', 'LIMIT', 0, 1, 'WITHSCORES')
    arrival = top[2] and (tonumber(top[2]) - base + 1) or 0
  end
  arrivals[due] = arrival + 1
  redis.call('ZADD', P .. 'delayed', score_text(base + math.min(DUE - 1, arrival)), id)
end

-- The ms at which the first delayed job is due, or nil.
local function first_due(P)
  local first = redis.call('ZRANGE', P .. 'delayed', 0, 0, 'WITHSCORES')
  return first[2] and math.floor(tonumber(first[2]) / DUE) or nil
end

-- One marker wakes one idle worker, which wakes the next if jobs are left.
local function wake(P)
  redis.call('ZADD', P .. 'wake', 0, 'work')
end
