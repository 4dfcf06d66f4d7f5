-- Set the limits of the queue; waiting jobs begin to heed them with the next exchange.
-- KEYS: queue prefix
-- ARGV: now, caller, sequence, declared (a text that stands for a declaration in code, '' if somebody sets them by hand), the
--       names to set anew ('*' all, else separated by spaces: rate, concurrency, waiting, group, type), then name and value of
--       each limit
-- RETURNS: '1', or '0' if this declaration was made before and nothing was changed
-- COST: O(limits); O(jobs active) where a type is limited that was not; O(groups log groups) where what holds for all of them changes
-- INCLUDES: clock order state lines room full calls
local P, now, declared, anew = KEYS[1], now_ms(ARGV[1]), ARGV[4], ARGV[5]
local replied = answered_before(P)
if replied then return replied end
local before = settings_of(P)
though_full(P)
if declared ~= '' then
  if before.declared == declared then return answered(P, now, 0) end
  redis.call('HSET', P .. 'limits', 'declared', declared)
end
for name in pairs(before) do
  local part = string.match(name, '^type:') and 'type' or name
  if part ~= 'declared' and (anew == '*' or string.find(' ' .. anew .. ' ', ' ' .. part .. ' ', 1, true)) then
    redis.call('HDEL', P .. 'limits', name)
  end
end
for i = 6, #ARGV, 2 do redis.call('HSET', P .. 'limits', ARGV[i], ARGV[i + 1]) end
settings = nil
local after = settings_of(P)

-- Jobs of a type that nobody counted so far are looked up among those that run.
local uncounted, any = {}, false
for name in pairs(after) do
  local kind = string.match(name, '^type:(.+)$')
  if kind and not before[name] then uncounted[kind], any = true, true end
end
for name in pairs(before) do
  local kind = string.match(name, '^type:(.+)$')
  if kind and not after[name] then redis.call('DEL', P .. 'running:' .. kind) end
end
if any then
  for _, id in ipairs(redis.call('ZRANGE', P .. 'active', 0, -1)) do
    local kind, group = nature_of(P, id)
    local lease = uncounted[kind] and redis.call('HGET', P .. 'leases', id)
    if lease then
      redis.call('ZADD', P .. 'running:' .. kind, 0, id)
      redis.call('HSET', P .. 'leases', id, string.match(lease, '^[^\n]*') .. '\n' .. kind .. '\n' .. group)
    end
  end
end

if not after.rate then redis.call('HDEL', P .. 'meta', 'pace') end
local limited = after.rate or after.concurrency
for name in pairs(after) do limited = limited or string.match(name, '^type:') end
if limited then
  redis.call('HSET', P .. 'meta', 'limited', 1)
else
  redis.call('HDEL', P .. 'meta', 'limited')
end
-- What the old limit for all groups held back may go on, where the new one lets it.
if before.group ~= after.group then
  for _, group in ipairs(redis.call('ZRANGE', P .. 'groups', 0, -1)) do
    if has_jobs(P, group) then seat(P, group) end
  end
end
-- A group may have a bound of its own, so this stays once it was set.
local most = after.group and string.match(after.group, '^%S+ %S+ %S+ (%S+) ')
if after.waiting or (most and most ~= '-') then redis.call('HSET', P .. 'meta', 'bounded', 1) end
pass_on_room(P, now)
if redis.call('HGET', P .. 'meta', 'paused') ~= '1' and count_waiting(P) > 0 then wake(P) end
return answered(P, now, 1)
