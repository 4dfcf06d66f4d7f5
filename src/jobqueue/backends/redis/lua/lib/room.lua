-- How much may wait: what a batch would add is counted before anything is written.
local function line_length(P, group)
  local length = redis.call('ZCARD', line_key(P, group))
  for _, kind in ipairs(parked_types(P)) do length = length + redis.call('ZCARD', parked_key(P, kind, group)) end
  return length
end

-- The limit that new jobs would go over, and whose it is; nil if there is room. Ids that are known are not counted, nor are
-- those that fall.
local function refusal(P, now, ids, wishes_of, falls)
  local fresh, count, order, groups = {}, 0, {}, {}
  for i, id in ipairs(ids) do
    if not fresh[id] and not falls[i] and redis.call('EXISTS', P .. 'job:' .. id) == 0 then
      fresh[id] = true
      count = count + 1
      local due, group = string.match(wishes_of(i), '^%d+ (%S+) %S+ %d (%S+)')
      local at_once = due == '-' or (due and string.sub(due, 1, 1) ~= '+' and tonumber(due) <= now)
      if group and at_once then
        if not groups[group] then
          groups[group] = 0
          order[#order + 1] = group
        end
        groups[group] = groups[group] + 1
      end
    end
  end
  local most = tonumber(settings_of(P).waiting)
  if most and count > 0 then
    local unstarted = count_waiting(P) + redis.call('ZCARD', P .. 'delayed') + redis.call('ZCARD', P .. 'blocked')
    if unstarted + count > most then return { most, '' } end
  end
  for _, group in ipairs(order) do
    local limit = spec_of(P, group).most
    if limit and line_length(P, group) + groups[group] > limit then return { limit, group } end
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
