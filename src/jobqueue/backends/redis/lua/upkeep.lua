-- active -> waiting, failed, cancelled (lease expired); blocked, delayed, waiting -> failed (expired); finished -> gone (age):
-- one bounded background round.
-- KEYS: queue prefix
-- ARGV: now, max stalls, keep count, keep age, dead letter queue, limit, worker ('' none), presence, presence ms
-- RETURNS: recovered ids, poisoned ids, expired ids, cancelled ids, removed, more, outbox, ms until a schedule is due ('' none)
-- COST: O(log n) for each job found, `limit` of each kind at the most
-- INCLUDES: clock events order state lines finish holds outbox flows links full schedules
local P, now = KEYS[1], now_ms(ARGV[1])
local max_stalls, keep, age = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local dead_letter, limit = ARGV[5], tonumber(ARGV[6])
local recovered, poisoned, expired, stopped = {}, {}, {}, {}
local removed, more, outbox = 0, false, false

-- An idle queue has none of these, so one question stands for eight.
local anything = redis.call('EXISTS', P .. 'active', P .. 'expiring', P .. 'retention', P .. 'outbox', P .. 'fading', P .. 'lasting',
  P .. 'flowed', P .. 'schedules') > 0

local function until_now(key)
  if not anything then return {} end
  local ids = redis.call('ZRANGE', P .. key, '-inf', score_text(now), 'BYSCORE', 'LIMIT', 0, limit)
  if #ids == limit then more = true end
  return ids
end

-- Dead workers' jobs: in the order in which they were claimed, in front of everyone of their priority.
local lapsed = until_now('active')
if #lapsed > 0 then
  -- RARELY
  local leases = redis.call('HMGET', P .. 'leases', unpack(lapsed))
  local wishes = redis.call('HMGET', P .. 'cancelling', unpack(lapsed))
  redis.call('ZREM', P .. 'active', unpack(lapsed))
  redis.call('HDEL', P .. 'leases', unpack(lapsed))
  redis.call('HDEL', P .. 'cancelling', unpack(lapsed))
  free_places(P, lapsed, leases)
  local order = {}
  for i = 1, #lapsed do
    local token, since, mark = string.match(leases[i] or '', '^(%d+) (%d+) ?(%??)')
    order[i] = { id = lapsed[i], token = tonumber(token or '0'), since = since, wish = wishes[i], reserved = mark == '?' }
  end
  table.sort(order, function(one, other) return one.token < other.token end)
  for _, lease in ipairs(order) do
    if lease.wish then
      cancelled(P, lease.id, now, lease.since, lease.wish, -1, 0)
      stopped[#stopped + 1] = lease.id
    else
      local stalls = lease.reserved and 0 or count_up(P, lease.id, 'stalls')
      if stalls >= max_stalls then
        local message = 'its worker was lost ' .. stalls .. ' times'
        local error_json = '{"type":"WorkerLost","message":"' .. message .. '"}'
        if fail(P, lease.id, now, lease.since, error_json, 'WorkerLost', false, keep, age, dead_letter) then outbox = true end
        poisoned[#poisoned + 1] = lease.id
      else
        recovered[#recovered + 1] = lease.id
        watch_expiry(P, lease.id)
        tell('recovered', lease.id)
      end
    end
  end
  rejoin(P, recovered)
  -- Those that did not come back have left their places to others.
  if redis.call('HGET', P .. 'meta', 'paused') ~= '1' and count_waiting(P) > 0 then wake(P) end
  -- END RARELY
end

local stale = until_now('expiring')
if #stale > 0 then
  -- RARELY
  redis.call('ZREM', P .. 'expiring', unpack(stale))
  for _, id in ipairs(stale) do
    local state = state_of(P, id)
    -- An active job is judged again when it is next claimed.
    if state == 'waiting' or state == 'delayed' or state == 'blocked' then
      leave_state(P, state, id)
      if fail(P, id, now, nil, EXPIRED, 'Expired', false, keep, age, dead_letter) then outbox = true end
      expired[#expired + 1] = id
    end
  end
  -- END RARELY
end

local aged = until_now('retention')
if #aged > 0 then
  for _, state in ipairs({ 'completed', 'failed', 'cancelled' }) do redis.call('ZREM', P .. state, unpack(aged)) end
  forget(P, aged)
  removed = #aged
end

-- What groups have started counts no more.
local faded = until_now('fading')
if #faded > 0 then
  redis.call('ZREM', P .. 'fading', unpack(faded))
  redis.call('HDEL', P .. 'rates', unpack(faded))
end

-- Keys that were held for a time.
local lapsed_keys = until_now('lasting')
if #lapsed_keys > 0 then
  -- RARELY
  redis.call('ZREM', P .. 'lasting', unpack(lapsed_keys))
  for _, key in ipairs(lapsed_keys) do
    local hold = stored_hold(P, key)
    if not hold or (hold.till and hold.till <= now and not hold.next) then redis.call('HDEL', P .. 'unique', key) end
  end
  -- END RARELY
end

if ARGV[7] ~= '' then
  though_full(P)
  redis.call('ZADD', P .. 'seen', score_text(now), ARGV[7])
  redis.call('HSET', P .. 'workers', ARGV[7], ARGV[8])
end
local gone = redis.call('ZRANGE', P .. 'seen', '-inf', score_text(now - tonumber(ARGV[9])), 'BYSCORE', 'LIMIT', 0, limit)
for _, worker in ipairs(gone) do
  redis.call('ZREM', P .. 'seen', worker)
  redis.call('HDEL', P .. 'workers', worker)
  redis.call('DEL', P .. 'orders:' .. worker)
end

-- The memory of callers (workers' exchanges, producers' calls) is for repeats, which come within seconds. Where nothing
-- happens it is looked at once a minute.
if ARGV[7] ~= '' and (anything or math.floor(now / 10000) % 6 == 0) and redis.call('HLEN', P .. 'calls') > 1000 then
  local count = math.min(2000, math.max(200, math.floor(redis.call('HLEN', P .. 'calls') / 20)))
  local scan = redis.call('HSCAN', P .. 'calls', redis.call('HGET', P .. 'meta', 'sweep') or '0', 'COUNT', count)
  redis.call('HSET', P .. 'meta', 'sweep', scan[1])
  local swept = 0
  for i = 1, #scan[2], 2 do
    local at = string.match(scan[2][i + 1], '^%d+ (%d+)')
    if not at or now - tonumber(at) > 600000 then
      redis.call('HDEL', P .. 'calls', scan[2][i])
      swept = swept + 1
    end
  end
  if swept > count / 2 then more = true end
end

if #ended > 0 then
  -- RARELY
  settle_heirs_and_wake(P, now)
  if edges.outbox or edges.notices then outbox = true end
  -- END RARELY
end
if ARGV[7] ~= '' and anything then
  -- RARELY
  -- Scored like finished jobs.
  local old = redis.call('ZRANGE', P .. 'flowed', '-inf', score_text((now - 604800000) * DUE), 'BYSCORE', 'LIMIT', 0, 100)
  for _, flow in ipairs(old) do forget_flow(P, flow) end
  -- END RARELY
end

if anything and not outbox and redis.call('XLEN', P .. 'outbox') > 0 then outbox = true end
publish(P, now)
return { recovered, poisoned, expired, stopped, removed, more and 1 or 0, outbox and 1 or 0,
  anything and first_schedule_in(P, now) or '' }
