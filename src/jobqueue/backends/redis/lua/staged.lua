-- A part of a committed flow, to be delivered.
-- KEYS: queue prefix
-- ARGV: now, flow, gate, first place, how many at the most, how many bytes of them (or the 25 with which that is passed)
-- RETURNS: now, 1 if it is in its queues as a whole, jobs, where the next part begins ('': it has no more); none where it has been
--          delivered
-- COST: O(1) for each job
-- INCLUDES: clock order
local P, now, key = KEYS[1], now_ms(ARGV[1]), KEYS[1] .. 'staged:' .. ARGV[2]
local state = redis.call('HMGET', key, 'gate', 'written')
if state[1] ~= ARGV[3] then return { score_text(now), 0, {}, '' } end
local jobs, place, size = {}, tonumber(ARGV[4]), 0
local last = place + tonumber(ARGV[5]) - 1
while place <= last and size < tonumber(ARGV[6]) do
  local places = {}
  for one = place, math.min(place + 24, last) do places[#places + 1] = one end
  for _, job in ipairs(redis.call('HMGET', key, unpack(places))) do
    if not job then return { score_text(now), state[2] and 1 or 0, jobs, '' } end
    jobs[#jobs + 1] = job
    size = size + #job
  end
  place = place + #places
end
return { score_text(now), state[2] and 1 or 0, jobs, score_text(place) }
