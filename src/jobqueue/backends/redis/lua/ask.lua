-- blocked -> waiting, delayed, failed: a job that was retried asks for the many that it needs, a part of them at a time.
-- KEYS: queue prefix
-- ARGV: now, id, cursor, '1' if its flow is still to be delivered
-- RETURNS: cursor ('0': it has asked for all), outbox (2: there may be something, of an earlier try)
-- COST: O(log n) for each job asked for, about 500 of them
-- INCLUDES: clock events order state lines finish holds outbox flows links full
local P, now, id = KEYS[1], now_ms(ARGV[1]), ARGV[2]
though_full(P)
local scan = redis.pcall('HSCAN', P .. 'needs:' .. id, ARGV[3], 'COUNT', 500)
if scan.err then scan = { '0', {} } end
ask_for(P, now, id, scan[2], ARGV[4] == '1')
settle_heirs_and_wake(P, now)
publish(P, now)
return { scan[1], is_owed(P) }
