-- A small set or hash is kept by the server as a list (a listpack), searched from its beginning for every member that comes,
-- goes or is asked for: with a hundred members that is a quarter of what a job costs the server. One member of more than 64 bytes
-- (`zset-max-listpack-value`, `hash-max-listpack-value`) makes a table of it, which it stays until it is empty. So a batch
-- brings one, of a name that no job and no group can have, and takes it out again at once; for a few members that would
-- cost more than it saves.
local MANY, LONG = 16, string.rep(' ', 65)

-- Into a sorted set: scores and members in turn.
local function add_to_table(key, scored)
  local many = #scored >= 2 * MANY
  if many then scored[#scored + 1], scored[#scored + 2] = '0', LONG end
  -- Whoever passes over thousands of expired jobs touches as many groups, and Lua hands over 8000 values at the most.
  for first = 1, #scored, 2000 do
    redis.call('ZADD', key, unpack(scored, first, math.min(first + 1999, #scored)))
  end
  if many then redis.call('ZREM', key, LONG) end
end

-- Into a hash: fields and values in turn.
local function set_in_table(key, values)
  if #values < 2 * MANY then
    if #values > 0 then redis.call('HSET', key, unpack(values)) end
    return
  end
  values[#values + 1], values[#values + 2] = LONG, ''
  redis.call('HSET', key, unpack(values))
  redis.call('HDEL', key, LONG)
end
