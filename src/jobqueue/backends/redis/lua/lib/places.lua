-- Where new jobs go. Places are gathered for a whole batch and taken by one command for each of them.

local function new_places()
  return { waiting = {}, priorities = {}, groups = {}, front = {}, delayed = {} }
end

-- `wishes` are as enqueue.lua has them. The letter for what becomes of the job: w (waiting), d (delayed).
local function choose_place(P, now, places, id, wishes)
  local priority, due, expires_in, lifo, group =
    string.match(wishes == '' and '3 - - 0' or wishes, '^(%d+) (%S+) (%S+) (%d) ?(%S*)')
  if group ~= '' then mark(P, 'lined') end
  wish_expiry(P, now, id, expires_in)
  local due_ms
  if due ~= '-' then due_ms = string.sub(due, 1, 1) == '+' and now + tonumber(due) or tonumber(due) end
  if due_ms and due_ms > now then
    places.delayed[#places.delayed + 1] = { id, due_ms }
    return 'd'
  elseif lifo == '1' then
    places.front[#places.front + 1] = id
  else
    places.waiting[#places.waiting + 1] = id
    places.priorities[#places.waiting], places.groups[#places.waiting] = tonumber(priority), group
  end
  return 'w'
end

-- Returns how many jobs wait now that did not before.
local function take_places(P, places)
  join(P, places.waiting, places.priorities, places.groups)
  -- Last in, first out: each goes before the one that came before it.
  for _, id in ipairs(places.front) do rejoin(P, { id }) end
  if #places.delayed > 0 then
    local before = first_due(P)
    for _, job in ipairs(places.delayed) do add_delayed(P, job[1], job[2]) end
    local after = first_due(P)
    -- Whoever sleeps until the earlier due time must look at the clock again.
    if not before or after < before then wake(P) end
  end
  return #places.waiting + #places.front
end
