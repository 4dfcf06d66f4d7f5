-- A full server refuses a script whose first write could take memory, and lets one go on that has begun with a removal. What
-- workers and operators do about jobs that are there is small, and a queue that stood still could never be drained, so
-- their scripts begin with a removal that removes nothing.
local function though_full(P)
  redis.call('ZREM', P .. 'active', '')
end
