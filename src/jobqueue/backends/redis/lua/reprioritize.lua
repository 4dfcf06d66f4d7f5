-- Change the priority of an unfinished job; a waiting one goes to the end of its new priority.
-- KEYS: queue prefix
-- ARGV: now, id, repeated, priority
-- RETURNS: state afterwards; or 'missing'; or 'refused', state
-- COST: O(log n)
-- INCLUDES: clock events order state lines full
local P, now, id, priority = KEYS[1], now_ms(ARGV[1]), ARGV[2], tonumber(ARGV[4])
local state = state_of(P, id)
if not state then return { 'missing' } end
if state == 'completed' or state == 'failed' or state == 'cancelled' then return { 'refused', state } end
though_full(P)
local job = redis.pcall('GET', P .. 'job:' .. id)
local created, rest = string.match(type(job) == 'string' and job or '', '^(%d+ )%d+( .*)$')
if created then redis.call('SET', P .. 'job:' .. id, created .. ARGV[4] .. rest) end
if state == 'waiting' then
  leave_line(P, id)
  join(P, { id }, { priority })
end
tell('reprioritized', id, ARGV[4])
publish(P, now)
return { state }
