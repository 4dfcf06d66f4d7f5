-- The queue at a glance.
-- KEYS: queue prefix
-- ARGV: now
-- RETURNS: paused, age of the oldest waiting job in ms (-1: none), then state and count for each state
-- COST: O(log n); the oldest is looked for at the head of each of the first 32 priorities in use
-- INCLUDES: clock order state
local P, now = KEYS[1], now_ms(ARGV[1])
local oldest, from, hops = nil, '-inf', 0
while hops < 32 do
  local head = redis.call('ZRANGE', P .. 'waiting', from, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
  if has(P, 'lined') then
    local other = redis.call('ZRANGE', P .. 'aside', from, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
    if other[1] and (not head[1] or tonumber(other[2]) < tonumber(head[2])) then head = other end
  end
  if not head[1] then break end
  local created = created_of(P, head[1]) or now
  if not oldest or created < oldest then oldest = created end
  from = score_text((math.floor(tonumber(head[2]) / SPAN) + 1) * SPAN)
  hops = hops + 1
end
local paused = redis.call('HGET', P .. 'meta', 'paused') == '1'
local reply = { paused and 1 or 0, oldest and math.max(0, now - oldest) or -1 }
for _, state in ipairs(STATES) do
  reply[#reply + 1] = state
  local count = redis.call('ZCARD', P .. state)
  if state == 'waiting' and has(P, 'lined') then count = count + redis.call('ZCARD', P .. 'aside') end
  reply[#reply + 1] = count
end
return reply
