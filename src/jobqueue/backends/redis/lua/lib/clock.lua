-- The server's clock in milliseconds, or the caller's override ('0': none). Overrides are for tests under virtual time.
local function now_ms(override)
  if override ~= '0' then return tonumber(override) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
