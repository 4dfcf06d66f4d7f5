-- Where waiting jobs stand. Without groups all of them are in `waiting`. A job of a group stands in `line:<group>`, one
-- that was set aside because its type is at its limit in `parked:<type> <group>`; both also in `aside`, which has their
-- order over all groups, so that state, counts and lists need no other place. Groups that may start something are in
-- `turns`, by virtual time: the ungrouped jobs as the group '', which enters when somebody claims.
local settings = nil
local overrides = nil
local PLAIN = { stride = 1000000 }
local specs, all_parked = {}, nil

local function settings_of(P)
  if not settings then
    settings = {}
    local flat = redis.call('HGETALL', P .. 'limits')
    for i = 1, #flat, 2 do settings[flat[i]] = flat[i + 1] end
  end
  return settings
end

-- Whether anything is set for any group.
local function are_special(P)
  if overrides == nil then overrides = redis.call('EXISTS', P .. 'overrides') == 1 end
  return overrides or settings_of(P).group
end

-- Paused, concurrency, rate, most waiting, stride of a group: its own settings over those of all groups.
local function spec_of(P, group)
  local spec = specs[group]
  if spec then return spec end
  if not are_special(P) then return PLAIN end
  spec = { stride = 1000000 }
  if group ~= '' then
    local own = overrides and redis.call('HGET', P .. 'overrides', group)
    for _, text in ipairs({ own or '', settings_of(P).group or '' }) do
      local paused, concurrency, rate, most, weight = string.match(text, '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
      if paused then
        spec.paused = spec.paused or paused == '1'
        spec.concurrency = spec.concurrency or finite(concurrency)
        spec.rate = spec.rate or rate ~= '-' and rate or nil
        spec.most = spec.most or finite(most)
        spec.weight = spec.weight or finite(weight)
      end
    end
    if spec.weight and spec.weight >= 0.01 then spec.stride = math.floor(1000000 / spec.weight) end
  end
  specs[group] = spec
  return spec
end

-- The types of which jobs are set aside.
local function parked_types(P)
  if not all_parked then all_parked = redis.call('ZRANGE', P .. 'parked', 0, -1) end
  return all_parked
end

local function line_key(P, group)
  return group == '' and P .. 'waiting' or P .. 'line:' .. group
end

local function parked_key(P, kind, group)
  return P .. 'parked:' .. kind .. ' ' .. group
end

-- Type and group, from the first line of a record; '' where somebody has overwritten it.
local function nature_of(P, id)
  local head = redis.pcall('GETRANGE', P .. 'job:' .. id, 0, 255)
  local kind, group = string.match(type(head) == 'string' and head or '', '^%d+ %d+ (%S+) @(%S+)\n')
  if kind then return kind, group end
  return string.match(type(head) == 'string' and head or '', '^%d+ %d+ (%S+)\n') or '', ''
end

local function has_jobs(P, group)
  if redis.call('EXISTS', line_key(P, group)) == 1 then return true end
  for _, kind in ipairs(parked_types(P)) do
    if redis.call('EXISTS', parked_key(P, kind, group)) == 1 then return true end
  end
  return false
end

-- How many jobs of a group run: in `busy` they stand as "group id", so that many are entered and taken out at once.
local function busy_of(P, group)
  return redis.call('ZLEXCOUNT', P .. 'busy', '[' .. group .. ' ', '(' .. group .. '!')
end

-- A group that has jobs gets its turn, unless it has one or something holds it: at the end of the round, and a hair before
-- those that have had theirs in it, else their names would decide.
local function seat(P, group)
  if redis.call('ZSCORE', P .. 'turns', group) then return end
  local spec = spec_of(P, group)
  if spec.paused or redis.call('ZSCORE', P .. 'resting', group) then return end
  if spec.concurrency and busy_of(P, group) >= spec.concurrency then return end
  local first = redis.call('ZRANGE', P .. 'turns', 0, 0, 'WITHSCORES')
  redis.call('ZADD', P .. 'turns', score_text((tonumber(first[2] or 0)) + spec.stride - 1), group)
end

-- Nothing stays of a group without jobs but what somebody has set for it.
local function vacate(P, group)
  if has_jobs(P, group) then return end
  redis.call('ZREM', P .. 'turns', group)
  if group ~= '' and not redis.call('HGET', P .. 'overrides', group) then redis.call('ZREM', P .. 'groups', group) end
end

-- A job set aside has left: nothing stays of the last one.
local function unpark(P, kind, group)
  if redis.call('EXISTS', parked_key(P, kind, group)) == 1 then return end
  redis.call('ZREM', P .. 'stuck:' .. kind, group)
  redis.call('ZREM', P .. 'holding:' .. kind, group)
  if redis.call('EXISTS', P .. 'holding:' .. kind) == 0 then
    redis.call('ZREM', P .. 'parked', kind)
    all_parked = nil
  end
end

-- Jobs with their scores into the lines of their groups.
local function stand(P, ids, scores, groups)
  local order, lines, aside = {}, {}, {}
  for i, id in ipairs(ids) do
    local group = groups and groups[i] or (groups and '') or select(2, nature_of(P, id))
    local line = lines[group]
    if not line then
      line = {}
      lines[group] = line
      order[#order + 1] = group
    end
    line[#line + 1], line[#line + 2] = scores[i], id
    if group ~= '' then aside[#aside + 1], aside[#aside + 2] = scores[i], id end
  end
  add_many(P .. 'aside', aside)
  for _, group in ipairs(order) do
    add_many(line_key(P, group), lines[group])
    if group ~= '' then
      redis.call('ZADD', P .. 'groups', 0, group)
      seat(P, group)
    end
  end
end

-- To the end of their priority, each in its group.
local function join(P, ids, priorities, groups)
  if not has(P, 'lined') then return append_waiting(P, ids, priorities) end
  if #ids == 0 then return end
  local first, scores = take_tail(P, #ids), {}
  for i = 1, #ids do scores[i] = waiting_score(priorities[i], first + i) end
  stand(P, ids, scores, groups)
end

-- To the front of their priority, each in its group.
local function rejoin(P, ids)
  if not has(P, 'lined') then return prepend_waiting(P, ids) end
  if #ids == 0 then return end
  local first, scores = take_head(P, #ids), {}
  for i = 1, #ids do scores[i] = waiting_score(priority_of(P, ids[i]), first + i - 1) end
  stand(P, ids, scores)
end

-- Out of whichever line a waiting job stands in.
local function leave_line(P, id)
  local plain = redis.call('ZREM', P .. 'waiting', id) == 1
  if not has(P, 'lined') then return end
  local group = ''
  if not plain then
    local kind
    kind, group = nature_of(P, id)
    redis.call('ZREM', P .. 'aside', id)
    if group ~= '' then redis.call('ZREM', P .. 'line:' .. group, id) end
    if redis.call('ZREM', parked_key(P, kind, group), id) == 1 then unpark(P, kind, group) end
  end
  vacate(P, group)
end

-- Out of the set of a state.
local function leave_state(P, state, id)
  if state == 'waiting' then return leave_line(P, id) end
  redis.call('ZREM', P .. state, id)
end

local function count_waiting(P)
  local count = redis.call('ZCARD', P .. 'waiting')
  return has(P, 'lined') and count + redis.call('ZCARD', P .. 'aside') or count
end

-- A part of all waiting jobs in the order of priority and age, with scores: from `offset` on, counted from the other end
-- if `backwards`. Two sorted sets are merged without being walked through: how many of the first `offset` are in the one.
local function waiting_page(P, offset, count, backwards)
  local command = backwards and 'ZREVRANGE' or 'ZRANGE'
  local one, other = P .. 'waiting', P .. 'aside'
  if not has(P, 'lined') then return redis.call(command, one, offset, offset + count - 1, 'WITHSCORES') end
  local function score_at(key, place)
    local found = place >= 0 and redis.call(command, key, place, place, 'WITHSCORES')
    return found and found[2] and (backwards and -1 or 1) * tonumber(found[2])
  end
  local low = math.max(0, offset - redis.call('ZCARD', other))
  local high = math.min(offset, redis.call('ZCARD', one))
  while low < high do
    local middle = math.floor((low + high) / 2)
    local here, there = score_at(one, middle), score_at(other, offset - middle - 1)
    if here and there and here < there then low = middle + 1 else high = middle end
  end
  local left = redis.call(command, one, low, low + count - 1, 'WITHSCORES')
  local right = redis.call(command, other, offset - low, offset - low + count - 1, 'WITHSCORES')
  local page, l, r, sign = {}, 1, 1, backwards and -1 or 1
  while #page < 2 * count and (left[l] or right[r]) do
    if left[l] and (not right[r] or sign * tonumber(left[l + 1]) < sign * tonumber(right[r + 1])) then
      page[#page + 1], page[#page + 2], l = left[l], left[l + 1], l + 2
    else
      page[#page + 1], page[#page + 2], r = right[r], right[r + 1], r + 2
    end
  end
  return page
end

-- Leases that are over give back the places they held; their marks say which.
local function free_places(P, ids, leases)
  local busy, groups = {}, {}
  for i = 1, #ids do
    local at = string.find(leases[i] or '', '\n', 1, true)
    local kind, group = string.match(at and leases[i] or '', '^\n(%S*)\n(%S*)$', at)
    if kind and kind ~= '' then redis.call('ZREM', P .. 'running:' .. kind, ids[i]) end
    if group and group ~= '' then
      local place = #busy + 1
      busy[place], groups[place] = group .. ' ' .. ids[i], group
    end
  end
  if #busy == 0 then return end
  redis.call('ZREM', P .. 'busy', unpack(busy))
  if not are_special(P) then return end
  for _, group in ipairs(groups) do
    if spec_of(P, group).concurrency and has_jobs(P, group) then seat(P, group) end
  end
end

-- The same in the order in which they were claimed, however they were handed in: it decides whose turn comes first.
local function end_leases(P, ids, leases)
  if not are_special(P) then return free_places(P, ids, leases) end
  local ended, sorted_ids, sorted_leases = {}, {}, {}
  for i, id in ipairs(ids) do ended[i] = { tonumber(string.match(leases[i], '^%d+')), id, leases[i] } end
  table.sort(ended, function(one, other) return one[1] < other[1] end)
  for i, lease in ipairs(ended) do sorted_ids[i], sorted_leases[i] = lease[2], lease[3] end
  free_places(P, sorted_ids, sorted_leases)
end

-- Nothing of a group is started until then.
local function rest_until(P, group, moment)
  local present = redis.call('ZSCORE', P .. 'resting', group)
  if not present or tonumber(present) < moment then redis.call('ZADD', P .. 'resting', score_text(moment), group) end
  redis.call('ZREM', P .. 'turns', group)
end
