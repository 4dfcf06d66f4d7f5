-- Jobs of one state, in the order of their set.
-- KEYS: queue prefix
-- ARGV: state, offset, limit, newest first ('1' or '0')
-- RETURNS: their pictures
-- COST: O(log n + limit)
-- INCLUDES: order state lines
local P, state = KEYS[1], ARGV[1]
local first, last = tonumber(ARGV[2]), tonumber(ARGV[2]) + tonumber(ARGV[3]) - 1
local members
if state == 'waiting' then
  members = waiting_page(P, first, tonumber(ARGV[3]), ARGV[4] == '1')
else
  members = redis.call(ARGV[4] == '1' and 'ZREVRANGE' or 'ZRANGE', P .. state, first, last, 'WITHSCORES')
end
local pictures = {}
for i = 1, #members, 2 do
  pictures[#pictures + 1] = picture(P, members[i], state, tonumber(members[i + 1]))
end
return pictures
