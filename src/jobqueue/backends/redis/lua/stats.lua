-- The counters of attempts, minute by minute.
-- KEYS: queue prefix
-- ARGV: now, how many minutes back (this one is the first)
-- RETURNS: for each minute in which an attempt ended, oldest first: its beginning in ms, counters and values
-- COST: O(minutes)
-- INCLUDES: clock order stats
local P, this = KEYS[1], minute_of(now_ms(ARGV[1]))
local reply = {}
for back = tonumber(ARGV[2]) - 1, 0, -1 do
  local counters = redis.pcall('HGETALL', stats_key(P, this - back))
  -- Whatever somebody else wrote there is no statistic.
  if not counters.err and #counters > 0 then
    reply[#reply + 1] = score_text((this - back) * 60000)
    reply[#reply + 1] = counters
  end
end
return reply
