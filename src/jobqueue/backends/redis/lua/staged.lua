-- A part of a committed flow, to be delivered.
-- KEYS: queue prefix
-- ARGV: now, flow, gate, first place, how many
-- RETURNS: now, 1 if it is in its queues as a whole, jobs (nil: there is none in this place); none where it has been delivered
-- COST: O(1) for each job
-- INCLUDES: clock order
local P, now, places = KEYS[1], now_ms(ARGV[1]), {}
for place = tonumber(ARGV[4]), tonumber(ARGV[4]) + tonumber(ARGV[5]) - 1 do places[#places + 1] = place end
local state = redis.call('HMGET', P .. 'staged:' .. ARGV[2], 'gate', 'written')
if state[1] ~= ARGV[3] then return { score_text(now), 0, {} } end
return { score_text(now), state[2] and 1 or 0, redis.call('HMGET', P .. 'staged:' .. ARGV[2], unpack(places)) }
