-- failed -> waiting: one batch, oldest first; those whose key another job holds stay.
-- KEYS: queue prefix
-- ARGV: now, limit, offset
-- RETURNS: ids, outbox, number looked at and kept, 1 if there may be more
-- COST: O(log n) for each job, and for each that these need: about 2000 of the latter, unless the first job alone has more
-- INCLUDES: clock events order state lines finish holds links revive
local P, now, limit = KEYS[1], now_ms(ARGV[1]), tonumber(ARGV[2])
local first, keyed, linked = tonumber(ARGV[3]), has(P, 'keyed'), has(P, 'linked')
local found = redis.call('ZRANGE', P .. 'failed', first, first + limit - 1)
local ids, kept, taken, needed, more = {}, 0, {}, 0, #found == limit
for _, id in ipairs(found) do
  local mode, key, _
  if keyed then mode, _, key = asked_of(from_life(P, id, 'unique')) end
  if key and mode ~= 't' and (taken[key] or rival(P, now, id)) then
    kept = kept + 1
  else
    if linked then needed = needed + size_of(P .. 'inputs:' .. id) + size_of(P .. 'needs:' .. id) end
    if needed > 2000 and #ids > 0 then
      more = true
      break
    end
    ids[#ids + 1] = id
    if key and mode ~= 't' then taken[key] = true end
  end
end
revive(P, 'failed', ids, now)
publish(P, now)
return { ids, edges.outbox and 1 or 0, kept, more and 1 or 0 }
