-- What a queue knows of the flows whose home it is, and of the gates of those with jobs in it (see keys.py: flows, flowed, graph,
-- ended, reopened).

-- A flow's gate in this queue: once it is open its jobs run, and none of them is written again.
local function gate_is_open(P, gate)
  return redis.call('HGET', P .. 'calls', 'flow/' .. gate) and true or false
end

-- Whoever read a flow so long ago may have slept through the opening of its gate and the sweep of `calls`.
local function read_too_long_ago(now, read_at)
  return math.abs(now - tonumber(read_at)) > 300000
end

local function forget_flow(P, flow)
  redis.call('ZREM', P .. 'flows', flow)
  redis.call('ZREM', P .. 'flowed', flow)
  redis.call('DEL', P .. 'graph:' .. flow, P .. 'ended:' .. flow, P .. 'reopened:' .. flow)
end

-- The number of the last retry of this member that the flow has heard of.
local function reopening_of(P, flow, member)
  local known = redis.pcall('HGET', P .. 'reopened:' .. flow, member)
  return type(known) == 'string' and finite(known) or 0
end

-- The flow's own record of who has ended. `number` says after which retry; an end before a later one is no news.
local function note_ending(P, now, flow, member, state, at, result, number)
  if not redis.pcall('HGET', P .. 'graph:' .. flow, member) then return end
  local known = reopening_of(P, flow, member)
  if number < known then return end
  if number > known then redis.call('HSET', P .. 'reopened:' .. flow, member, score_text(number)) end
  local ended_key = P .. 'ended:' .. flow
  redis.call('HSET', ended_key, member, state .. ' ' .. at .. '\n' .. result)
  local size = redis.call('HLEN', P .. 'graph:' .. flow)
  if redis.call('HLEN', ended_key) < size then return end
  if redis.call('ZREM', P .. 'flows', flow) == 0 then return end
  redis.call('ZADD', P .. 'flowed', score_text(finished_score(P, 'flowed', now)), flow)
  tell('flowed', flow)
  -- A large one leaves room for no more than so many, whatever their size.
  local excess = redis.call('ZCARD', P .. 'flowed') - (size > 1000 and 100 or 1000)
  if excess > 0 then
    for _, old in ipairs(redis.call('ZRANGE', P .. 'flowed', 0, excess - 1)) do forget_flow(P, old) end
  end
end

-- A member that was retried has not ended any more.
local function reopen(P, now, flow, member, number)
  if not redis.pcall('HGET', P .. 'graph:' .. flow, member) or number <= reopening_of(P, flow, member) then return end
  redis.call('HSET', P .. 'reopened:' .. flow, member, score_text(number))
  if redis.call('HDEL', P .. 'ended:' .. flow, member) == 0 then return end
  if redis.call('ZREM', P .. 'flowed', flow) == 1 then redis.call('ZADD', P .. 'flows', score_text(now), flow) end
end
