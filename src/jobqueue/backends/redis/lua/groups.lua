-- Groups by name: those with jobs waiting, or with something set for them; or just one.
-- KEYS: queue prefix
-- ARGV: the group to begin with, whether it is the only one ('1' or '0'), how many, now
-- RETURNS: for each: name, number waiting, number active, what is set for it, until when it rests ('' it does not)
-- COST: O(log n) for each
-- INCLUDES: order state lines room
local P, first, now = KEYS[1], ARGV[1], ARGV[4]
local names = { first }
if ARGV[2] ~= '1' then
  names = redis.call('ZRANGE', P .. 'groups', first == '' and '-' or '(' .. first, '+', 'BYLEX', 'LIMIT', 0, tonumber(ARGV[3]))
end
local found = {}
for _, group in ipairs(names) do
  local rest = redis.call('ZSCORE', P .. 'resting', group)
  found[#found + 1] = {
    group, line_length(P, group), busy_of(P, group),
    redis.call('HGET', P .. 'overrides', group) or '', rest and score_text(tonumber(rest)) or '',
  }
end
return found
