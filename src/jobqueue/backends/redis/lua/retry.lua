-- failed, cancelled, completed -> waiting: by hand, with fresh attempts and stalls, at the end of its priority; or blocked,
-- where it waits for others.
-- KEYS: queue prefix
-- ARGV: now, caller, sequence, id, has data, data, finished ms ('' any; else it must have failed or been cancelled then)
-- RETURNS: state afterwards, outbox; or 'missing'; or 'refused', state; or 'held', who holds its key
-- COST: O(log n), and O(1) for each job that it needs
-- INCLUDES: clock events order state lines finish holds outbox flows links revive full calls
local P, now, id = KEYS[1], now_ms(ARGV[1]), ARGV[4]
local replied = answered_before(P)
if replied then return replied end
though_full(P)
local state = state_of(P, id)
if not state then return answered(P, now, 'missing') end
if state ~= 'failed' and state ~= 'cancelled' and state ~= 'completed' then return answered(P, now, 'refused', state) end
if ARGV[7] ~= '' and from_life(P, id, 'finished') ~= ARGV[7] then return answered(P, now, 'refused', state) end
if has(P, 'keyed') then
  -- RARELY
  local other = rival(P, now, id)
  if other then return answered(P, now, 'held', other) end
  -- END RARELY
end
if ARGV[5] == '1' then
  local job = redis.pcall('GET', P .. 'job:' .. id)
  local head = string.match(type(job) == 'string' and job or '', '^[^\n]*\n[^\n]*\n')
  if head then redis.call('SET', P .. 'job:' .. id, head .. ARGV[6]) end
end
revive(P, state, { id }, now)
publish(P, now)
return answered(P, now, state_of(P, id) or 'failed', edges.outbox and 1 or 0)
