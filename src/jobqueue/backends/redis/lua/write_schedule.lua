-- Make a schedule, or change it, if it is as the caller saw it.
-- KEYS: queue prefix
-- ARGV: now, caller, sequence, id, expected revision ('' none), revision, plan, job, tick ('' none), due ('' none), anchor,
--       paused, declared, most, expected tick ('' none)
-- RETURNS: '1', '0' if it is not as expected, '-1' if there are too many
-- COST: O(log n), and O(workers) if it will be the first to be due
-- INCLUDES: clock order schedules full calls
local P, now, id, expected, revision, due = KEYS[1], now_ms(ARGV[1]), ARGV[4], ARGV[5], ARGV[6], ARGV[10]
local replied = answered_before(P)
if replied then return replied end
local key = P .. 'schedule:' .. id
local known = schedule_of(P, id)
if known and known[3] == revision then return declined(P, now, 1) end
if (known and known[3] or '') ~= expected or (known and known[4] or '') ~= ARGV[15] then return declined(P, now, 0) end
if not known then
  if redis.call('ZCARD', P .. 'schedules') >= tonumber(ARGV[14]) then return declined(P, now, -1) end
  redis.call('DEL', key)
end
local before = redis.call('ZRANGE', P .. 'schedules', 0, 0, 'WITHSCORES')[2]
redis.call('HSET', key, 'plan', ARGV[7], 'job', ARGV[8], 'revision', revision, 'tick', ARGV[9], 'due', due,
  'anchor', ARGV[11], 'paused', ARGV[12], 'declared', ARGV[13])
enter_schedule(P, id, due)
redis.call(ARGV[13] == '1' and 'SADD' or 'SREM', P .. 'declared', id)
before = before and finite(before)
if due ~= '' and (not before or tonumber(due) < before) then
  -- Every worker sleeps until an earlier moment than it knows of. A lost order is made good by its next upkeep.
  for _, worker in ipairs(redis.call('ZRANGE', P .. 'seen', 0, -1)) do
    local orders = P .. 'orders:' .. worker
    if redis.call('RPUSH', orders, ' schedules') > 1000 then redis.call('LTRIM', orders, -1000, -1) end
    redis.call('PEXPIRE', orders, 60000)
  end
end
return answered(P, now, 1)
