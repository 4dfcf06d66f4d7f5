-- (none) -> waiting: write one new job that asks for nothing, in a queue that has neither groups nor bounds.
-- What enqueue.lua does for such a job, without what that one carries for all others: half the time of the script.
-- KEYS: queue prefix
-- ARGV: now, caller, sequence, id, type, rest of the record (see enqueue.lua)
-- RETURNS: now, 'w'; or '' where there is more to see to: nothing was written, and enqueue.lua is to be asked
-- COST: O(log n)
-- INCLUDES: clock order
local P, now_text, id = KEYS[1], score_text(now_ms(ARGV[1])), ARGV[4]
-- Should it come after its repeat, that has been carried out (see has_come in lib/calls.lua).
local last = redis.call('HGET', P .. 'calls', ARGV[2])
if last and last >= string.sub(ARGV[3], 1, 12) then return '' end
local flags = redis.call('HMGET', P .. 'meta', 'paused', 'lined', 'bounded')
if flags[2] or flags[3] or not redis.call('SET', P .. 'job:' .. id, now_text .. ' ' .. ARGV[6], 'NX') then return '' end
redis.call('ZADD', P .. 'waiting', waiting_score(3, take_tail(P, 1) + 1), id)
if flags[1] ~= '1' then redis.call('ZADD', P .. 'wake', 0, 'work') end
redis.call('HSET', P .. 'calls', ARGV[2], ARGV[3] .. ' ' .. now_text)
redis.call('XADD', P .. 'events', 'MAXLEN', '~', 10000, '*', 'at', now_text, 'lines', 'enqueued ' .. id .. ' ' .. ARGV[5])
return { now_text, 'w' }
