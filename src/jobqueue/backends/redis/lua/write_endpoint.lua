-- Make an endpoint, or change it, if it is as the caller saw it.
-- KEYS: queue prefix
-- ARGV: now, caller, sequence, id, expected revision ('' none), revision, state, rules (see keys.py: hooks),
--       reason, definition, most
-- RETURNS: '1', '0' if it is not as expected, '-1' if there are too many
-- COST: O(1)
-- INCLUDES: clock order full calls
local P, now, id, expected, revision, state = KEYS[1], now_ms(ARGV[1]), ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local replied = answered_before(P)
if replied then return replied end
local stored = redis.call('HGET', P .. 'endpoints', id)
local known, was, since = string.match(stored or '', '^(%S*) (%S+) (%d+)\n')
if known == revision then return declined(P, now, 1) end
if (known or '') ~= expected then return declined(P, now, 0) end
if not stored and redis.call('HLEN', P .. 'endpoints') >= tonumber(ARGV[11]) then return declined(P, now, -1) end
if state ~= 'on' then though_full(P) end
if was ~= state then since = score_text(now) end
redis.call('HSET', P .. 'endpoints', id,
  revision .. ' ' .. state .. ' ' .. since .. '\n' .. ARGV[8] .. '\n' .. ARGV[9] .. '\n' .. ARGV[10])
if state == 'disabled' then
  redis.call('HDEL', P .. 'hooks', id)
else
  redis.call('HSET', P .. 'hooks', id, ARGV[8])
end
if redis.call('EXISTS', P .. 'hooks') == 1 then
  redis.call('HSET', P .. 'meta', 'hooked', 1)
else
  redis.call('HDEL', P .. 'meta', 'hooked')
end
return answered(P, now, 1)
