-- How much may wait: what a batch would add is counted before anything is written.
local function line_length(P, group)
  local length = redis.call('ZCARD', line_key(P, group))
  for _, kind in ipairs(parked_types(P)) do length = length + redis.call('ZCARD', parked_key(P, kind, group)) end
  return length
end

-- The limit that new jobs would go over, and whose it is; nil if there is room. Ids that are known are not counted, nor are
-- those that fall; of those that have another take over, that one where it comes to wait in a line where it did not.
local function refusal(P, now, ids, wishes_of, verdicts, standers)
  local fresh, count, comers, lines = {}, 0, {}, {}
  local function enter(id, group)
    if not lines[id] then comers[#comers + 1] = id end
    lines[id] = group
  end
  for i, id in ipairs(ids) do
    local verdict, wishes = verdicts and verdicts[i], wishes_of(i)
    local due, group = string.match(wishes, '^%d+ (%S+) %S+ %d ?(%S*)')
    local at_once = due == '-' or (due and string.sub(due, 1, 1) ~= '+' and tonumber(due) <= now)
    if verdict == 'over' then
      local stander, mode = standers[i], asked_of(word_of(wishes))
      local state = state_of(P, stander)
      local _, stands_in = nature_of(P, stander)
      if state == 'waiting' and stands_in == group then
        enter(stander, '')
      elseif lines[stander] or state == 'waiting' or state == 'delayed' and at_once and (mode == 'r' or mode == 'b') then
        enter(stander, group)
      end
    elseif verdict ~= 'fell' and not fresh[id] and redis.call('EXISTS', P .. 'job:' .. id) == 0 then
      fresh[id] = true
      count = count + 1
      if at_once then enter(id, group) end
    end
  end
  local most = tonumber(settings_of(P).waiting)
  if most and count > 0 then
    local unstarted = count_waiting(P) + redis.call('ZCARD', P .. 'delayed') + redis.call('ZCARD', P .. 'blocked')
    if unstarted + count > most then return { most, '' } end
  end
  local coming = {}
  for _, id in ipairs(comers) do
    local group = lines[id]
    local limit = group ~= '' and spec_of(P, group).most
    if limit then
      coming[group] = (coming[group] or line_length(P, group)) + 1
      if coming[group] > limit then return { limit, group } end
    end
  end
  return nil
end

-- A producer waits for room until then: exchanges that claim something set the marker it blocks on.
local function await_room(P, moment)
  local known = tonumber(redis.call('HGET', P .. 'meta', 'awaited') or 0)
  if moment > known then redis.call('HSET', P .. 'meta', 'awaited', score_text(moment)) end
end

-- Whoever has found room lets the next one look, if there may be any.
local function pass_on_room(P, now)
  local awaited = tonumber(redis.call('HGET', P .. 'meta', 'awaited') or 0)
  if awaited > now then redis.call('ZADD', P .. 'room', 0, 'room') end
end
