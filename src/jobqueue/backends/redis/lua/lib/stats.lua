-- What attempts came to, by the minute (see model/stats.py).

local STATS_MS = 86400000

local function minute_of(now)
  return math.floor(now / 60000)
end

local function stats_key(P, minute)
  return P .. 'stats:' .. score_text(minute)
end

-- Counters and what to add to them, from ARGV[first] to ARGV[last]. A spoiled statistic never stops a job.
local function count_attempts(P, now, first, last)
  local key, fresh = stats_key(P, minute_of(now)), false
  for at = first, last, 2 do
    if redis.pcall('HINCRBY', key, ARGV[at], ARGV[at + 1]) == tonumber(ARGV[at + 1]) then fresh = true end
  end
  if fresh then redis.pcall('PEXPIRE', key, STATS_MS) end
end
