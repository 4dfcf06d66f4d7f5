-- Stop or resume claiming; who resumes ends a hold too (RateLimited).
-- KEYS: queue prefix
-- ARGV: now, caller, sequence, paused ('1' or '0')
-- RETURNS: '1'
-- COST: O(1)
-- INCLUDES: clock events order full calls
local P, now = KEYS[1], now_ms(ARGV[1])
local replied = answered_before(P)
if replied then return replied end
though_full(P)
if ARGV[4] == '1' then
  redis.call('HSET', P .. 'meta', 'paused', '1')
  redis.call('DEL', P .. 'wake')
  tell('paused', '')
else
  redis.call('HDEL', P .. 'meta', 'paused', 'hold')
  if redis.call('EXISTS', P .. 'waiting', P .. 'aside') > 0 then wake(P) end
  tell('resumed', '')
end
publish(P, now)
return answered(P, now, 1)
