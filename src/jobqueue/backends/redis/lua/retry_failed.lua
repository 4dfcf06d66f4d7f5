-- failed -> waiting: one batch, oldest first; those whose key another job holds stay.
-- KEYS: queue prefix
-- ARGV: now, limit, offset
-- RETURNS: ids, outbox, number looked at and kept
-- COST: O(limit * log n)
-- INCLUDES: clock events order state lines finish holds links revive
local P, now = KEYS[1], now_ms(ARGV[1])
local first = tonumber(ARGV[3])
local ids, kept = redis.call('ZRANGE', P .. 'failed', first, first + tonumber(ARGV[2]) - 1), 0
if has(P, 'keyed') then
  -- RARELY
  local free, taken = {}, {}
  for _, id in ipairs(ids) do
    local mode, _, key = asked_of(from_life(P, id, 'unique'))
    if key and mode ~= 't' and (taken[key] or rival(P, now, id)) then
      kept = kept + 1
    else
      free[#free + 1] = id
      if key and mode ~= 't' then taken[key] = true end
    end
  end
  ids = free
  -- END RARELY
end
revive(P, 'failed', ids, now)
publish(P, now)
return { ids, edges.outbox and 1 or 0, kept }
