-- A part of a committed flow, to be delivered.
-- KEYS: queue prefix
-- ARGV: now, flow, first place, how many
-- RETURNS: now, jobs (nil: there is none in this place)
-- COST: O(1) for each job
-- INCLUDES: clock order
local P, now, places = KEYS[1], now_ms(ARGV[1]), {}
for place = tonumber(ARGV[3]), tonumber(ARGV[3]) + tonumber(ARGV[4]) - 1 do places[#places + 1] = place end
return { score_text(now), redis.call('HMGET', P .. 'staged:' .. ARGV[2], unpack(places)) }
