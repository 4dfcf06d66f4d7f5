-- What is set for one group: its limits, and whether it is paused.
-- KEYS: queue prefix
-- ARGV: now, caller, sequence, group, what to do ('limit', 'pause', 'resume'), its parts
--       anew: concurrency, rate, most waiting, weight ('' as it is, '-' as for all groups)
-- RETURNS: '1'
-- COST: O(log n)
-- INCLUDES: clock events order state lines room full calls
local P, now, group, what = KEYS[1], now_ms(ARGV[1]), ARGV[4], ARGV[5]
local replied = answered_before(P)
if replied then return replied end
local kept = redis.call('HGET', P .. 'overrides', group)
though_full(P)
local parts = { string.match(kept or '', '^(%S+) (%S+) (%S+) (%S+) (%S+)$') }
for i = 1, 5 do parts[i] = parts[i] or (i == 1 and '0' or '-') end
if what == 'pause' then parts[1] = '1' end
if what == 'resume' then parts[1] = '0' end
for i = 2, 5 do
  if ARGV[i + 4] and ARGV[i + 4] ~= '' then parts[i] = ARGV[i + 4] end
end
local text = table.concat(parts, ' ')
if text == '0 - - - -' then
  redis.call('HDEL', P .. 'overrides', group)
else
  redis.call('HSET', P .. 'overrides', group, text)
  redis.call('ZADD', P .. 'groups', 0, group)
end
if parts[4] ~= '-' then redis.call('HSET', P .. 'meta', 'bounded', 1) end
-- A rate that was changed is counted anew by the next exchange, as it is where somebody ends a hold.
if what == 'resume' or (what == 'limit' and ARGV[7] ~= '') then redis.call('ZREM', P .. 'resting', group) end
specs[group], overrides = nil, nil
if what == 'pause' then redis.call('ZREM', P .. 'turns', group) end
vacate(P, group)
if what ~= 'pause' and has_jobs(P, group) then
  seat(P, group)
  if redis.call('HGET', P .. 'meta', 'paused') ~= '1' then wake(P) end
end
if what ~= 'limit' then
  tell(what == 'pause' and 'paused' or 'resumed', '', group)
  publish(P, now)
end
pass_on_room(P, now)
return answered(P, now, 1)
