-- failed -> waiting: one batch, oldest first; those whose key another job holds stay.
-- KEYS: queue prefix
-- ARGV: now, limit, offset, score up to which they are meant ('' the last one's now)
-- RETURNS: ids, outbox, number looked at and kept, that score, or '' if there are no more
-- COST: O(log n) for each job, and for each that these need: about 2000 of the latter, unless the first job alone has more
-- INCLUDES: clock events order state lines finish holds outbox flows links revive
local P, now, limit = KEYS[1], now_ms(ARGV[1]), tonumber(ARGV[2])
local first, keyed, linked = tonumber(ARGV[3]), has(P, 'keyed'), has(P, 'linked')
-- Some may fail again at once, and stand behind it then; or alone, if it was taken as well.
local last = tonumber(ARGV[4]) or tonumber(redis.call('ZRANGE', P .. 'failed', -1, -1, 'WITHSCORES')[2])
local found = redis.call('ZRANGE', P .. 'failed', first, first + limit - 1, 'WITHSCORES')
local ids, kept, taken, needed = {}, 0, {}, 0
local more = #found == 2 * limit and tonumber(found[#found]) < last
for i = 1, #found, 2 do
  local id = found[i]
  if tonumber(found[i + 1]) > last then
    more = false
    break
  end
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
return { ids, edges.outbox and 1 or 0, kept, more and score_text(last) or '' }
