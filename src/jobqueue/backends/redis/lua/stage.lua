-- A part of a flow is put down, seen by nobody until the flow is committed; what never is goes after an hour.
-- KEYS: queue prefix
-- ARGV: flow, number of jobs, then for each job: its place, the job; then for each: member, what the flow remembers of it
-- RETURNS: 'ok', or 'known': the flow has been committed before
-- COST: O(1) for each job
-- INCLUDES: order state
local P, flow, count = KEYS[1], ARGV[1], tonumber(ARGV[2])
if redis.call('ZSCORE', P .. 'flows', flow) or redis.call('ZSCORE', P .. 'flowed', flow) then return 'known' end
if redis.call('HGET', P .. 'staged:' .. flow, 'gate') then return 'known' end
-- What an earlier try has left is of no use.
if ARGV[3] == '0' then redis.call('DEL', P .. 'staged:' .. flow, P .. 'graph:' .. flow) end
for i = 1, count do redis.call('HSET', P .. 'staged:' .. flow, ARGV[1 + 2 * i], ARGV[2 + 2 * i]) end
redis.call('PEXPIRE', P .. 'staged:' .. flow, 3600000)
for at = 3 + 2 * count, #ARGV, 2 do redis.call('HSET', P .. 'graph:' .. flow, ARGV[at], ARGV[at + 1]) end
redis.call('PEXPIRE', P .. 'graph:' .. flow, 3600000)
return 'ok'
