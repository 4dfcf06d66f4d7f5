-- Change the priority of an unfinished job; a waiting one goes to the end of its new priority.
-- KEYS: queue prefix
-- ARGV: now, caller, sequence, id, priority
-- RETURNS: state afterwards; or 'missing'; or 'refused', state
-- COST: O(log n)
-- INCLUDES: clock events order state lines full calls
local P, now, id, priority = KEYS[1], now_ms(ARGV[1]), ARGV[4], tonumber(ARGV[5])
local replied = answered_before(P)
if replied then return replied end
though_full(P)
local state = state_of(P, id)
if not state then return answered(P, now, 'missing') end
if state == 'completed' or state == 'failed' or state == 'cancelled' then return answered(P, now, 'refused', state) end
local job = redis.pcall('GET', P .. 'job:' .. id)
local created, rest = string.match(type(job) == 'string' and job or '', '^(%d+ )%d+( .*)$')
if created then redis.call('SET', P .. 'job:' .. id, created .. ARGV[5] .. rest) end
if state == 'waiting' then
  leave_line(P, id)
  join(P, { id }, { priority })
end
tell('reprioritized', id, ARGV[5])
publish(P, now)
return answered(P, now, state)
