-- blocked -> waiting, delayed, failed: a job that has ended tells its many heirs, a part of them at a time.
-- KEYS: queue prefix
-- ARGV: now, parent id, cursor, state, detail, result, kind of error, number of the list ('': of a release that gave none)
-- RETURNS: cursor ('0': all are told), outbox (2: there may be something, of an earlier try)
-- COST: O(log n) for each heir told, about 500 of them
-- INCLUDES: clock events order state lines finish holds outbox flows links full
local P, now, id, list = KEYS[1], now_ms(ARGV[1]), ARGV[2], ARGV[8]
local key, parent = P .. 'list:' .. list, own_queue(P) .. '/' .. id
local left = list ~= '' and redis.call('EXISTS', key) == 1
if not left then
  key = P .. 'heirs:' .. id
  local mark = redis.pcall('HGET', key, '')
  left = mark == list .. '!'
  -- Told already; or the job has begun again and has come to another end since.
  if list ~= '' and mark ~= list and not left then
    edges.again = true
    return { '0', is_owed(P) }
  end
end
though_full(P)
local scan = redis.pcall('HSCAN', key, ARGV[3], 'COUNT', 500)
if scan.err then scan = { '0', {} } end
for i = 1, #scan[2], 2 do
  local later = tonumber(string.match(scan[2][i + 1], '%+(%d+)$'))
  if not later or later < (tonumber(list) or 0) then
    tell_heir(P, now, parent, scan[2][i], scan[2][i + 1], ARGV[4], ARGV[5], ARGV[6], ARGV[7])
  end
end
settle_heirs_and_wake(P, now)
if scan[1] == '0' then
  redis.call('HDEL', key, '')
  if left or (list == '' and redis.call('EXISTS', P .. 'job:' .. id) == 0) then redis.call('DEL', key) end
end
publish(P, now)
return { scan[1], is_owed(P) }
