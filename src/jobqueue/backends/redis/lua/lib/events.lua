-- Events are gathered while a script runs and written as one stream entry: one command however many jobs it touched.
-- An entry holds lines: "type id detail"; "*type detail id id ..." for many that differ in nothing but the id; and
-- "+type id id ...<tab>detail<tab>detail ..." for many that are of one type.
-- The cap keeps about 10 000 events, not entries.
local told, told_lines, told_events = {}, 0, 0

local function tell(kind, id, detail)
  told_lines, told_events = told_lines + 1, told_events + 1
  told[told_lines] = kind .. ' ' .. id .. ' ' .. (detail or '')
end

local function tell_many(kind, detail, ids)
  if #ids == 0 then return end
  told_lines, told_events = told_lines + 1, told_events + #ids
  told[told_lines] = '*' .. kind .. ' ' .. detail .. ' ' .. table.concat(ids, ' ')
end

-- Jobs one after the other, in runs that share a detail.
local function tell_runs(kind, ids, details)
  local run, detail = {}, nil
  for i = 1, #ids do
    if details[i] ~= detail then
      if detail then tell_many(kind, detail, run) end
      run, detail = {}, details[i]
    end
    run[#run + 1] = ids[i]
  end
  if detail then tell_many(kind, detail, run) end
end

local function tell_each(kind, ids, details)
  if #ids == 0 then return end
  told_lines, told_events = told_lines + 1, told_events + #ids
  told[told_lines] = '+' .. kind .. ' ' .. table.concat(ids, ' ') .. '\t' .. table.concat(details, '\t')
end

local function one_line(text)
  return (string.gsub(text, '[\r\n]', ' '))
end

local function publish(P, now)
  if told_lines == 0 then return end
  redis.call('XADD', P .. 'events', 'MAXLEN', '~', math.max(100, math.floor(10000 / told_events)), '*',
    'at', string.format('%.0f', now), 'lines', table.concat(told, '\n'))
end
