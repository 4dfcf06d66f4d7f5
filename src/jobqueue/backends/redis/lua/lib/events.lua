-- Events are gathered while a script runs and written as one stream entry: one command however many jobs it touched.
-- An entry holds lines of "type id detail". The cap keeps about 10 000 events, not entries.
local told, told_count = {}, 0

local function tell(kind, id, detail)
  told_count = told_count + 1
  told[told_count] = kind .. ' ' .. id .. ' ' .. (detail or '')
end

local function one_line(text)
  return (string.gsub(text, '[\r\n]', ' '))
end

local function publish(P, now)
  if told_count == 0 then return end
  local entries = math.max(100, math.floor(10000 / told_count))
  redis.call('XADD', P .. 'events', 'MAXLEN', '~', entries, '*',
    'at', string.format('%.0f', now), 'lines', table.concat(told, '\n'))
end
