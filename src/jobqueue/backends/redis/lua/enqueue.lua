-- (none) -> waiting, delayed, blocked: write new jobs, all or none.
-- KEYS: queue prefix
-- ARGV: now, caller, sequence, repeated, distinct, plain, count; then for each job: id, type, wishes, rest of the record
--       distinct is '1 ' if no id comes twice, else '0 ', followed by '' (limits hold), 'force' (they do not), or the ms for
--       which the caller will wait for room; plain if no job has wishes
--       wishes are '' (priority 3, at once) or 'priority due expires lifo group' (the last may be missing): due is '-' (at once), '+ms' from now, or ms
--       since 1970; expires is '-' or ms from now
--       the record is 'created priority type', options and data on three lines; its rest begins with the priority
--       last, for jobs that wait for others (links.lua): gate of their flow ('' none), ms at which the flow was read, then
--       for each such job: its place, number of words, pairs of what it needs and policy, number of words, pairs of heir
--       and policy
-- RETURNS: now; a letter for each job: w (waiting), d (delayed), k (its id is known), b (it has links); then the picture of
--          each k and b in their order. Or now, '', a job of this queue that is needed and missing. Or now, 'full', the
--          limit, the group whose it is ('' the queue's): nothing was written
-- COST: O(log n) for each job
-- INCLUDES: clock events order state lines finish links places room
local P, now = KEYS[1], now_ms(ARGV[1])
local caller, sequence, count = ARGV[2], ARGV[3], tonumber(ARGV[7])
local now_text = score_text(now)

-- A repeat whose first try went through adds nothing, not even where the job has come and gone since.
local went_through = ARGV[4] == '1'
  and string.match(redis.call('HGET', P .. 'calls', caller) or '', '^(%d+)') == sequence

-- All that is needed of this queue must be there, before anything is written.
local links_at, links, gate = 8 + 4 * count, nil, ''
if ARGV[links_at] then
  -- RARELY
  gate, links = ARGV[links_at], links_from(links_at + 2)
  if gate ~= '' then
    went_through = went_through or gate_is_open(P, now, gate, ARGV[links_at + 1])
  elseif not went_through then
    local own, made = own_queue(P), {}
    for i = 1, count do
      for n = 1, links[i] and #links[i].needs or 0, 2 do
        local queue, id = string.match(links[i].needs[n], '^([^/]+)/(.+)$')
        if queue == own and not made[id] and redis.call('EXISTS', P .. 'job:' .. id) == 0 then
          -- An id that is known is left as it is, whatever it is said to need.
          local known = made[ARGV[4 + 4 * i]] or redis.call('EXISTS', P .. 'job:' .. ARGV[4 + 4 * i]) == 1
          if not known then return { now_text, '', id } end
        end
      end
      made[ARGV[4 + 4 * i]] = true
    end
  end
  -- END RARELY
end

local ids, kinds, stored, head = {}, {}, {}, now_text .. ' '
for i = 1, count do
  local at = 4 + 4 * i
  ids[i], kinds[i] = ARGV[at], ARGV[at + 1]
  stored[2 * i - 1], stored[2 * i] = P .. 'job:' .. ids[i], head .. ARGV[at + 3]
end

local flags = redis.call('HMGET', P .. 'meta', 'paused', 'lined', 'bounded')
traits.lined = flags[2] and true
local distinct, wait = string.match(ARGV[5], '^(%d) (%S*)$')
if flags[3] and wait ~= 'force' and not went_through then
  -- RARELY
  local full = refusal(P, now, ids, function(i) return ARGV[4 + 4 * i + 2] end)
  if full then
    if wait ~= '' then await_room(P, now + tonumber(wait)) end
    return { now_text, 'full', full[1], full[2] }
  end
  if wait ~= '' then pass_on_room(P, now) end
  -- END RARELY
end

-- All in one command where all are new, which they nearly always are.
local all_new = not went_through and distinct == '1' and redis.call('MSETNX', unpack(stored)) == 1
local letters, known, looked_for

if all_new and ARGV[6] == '1' then
  letters, known, looked_for = string.rep('w', count), {}, count
  tell_runs('enqueued', ids, kinds)
  append_waiting(P, ids)
else
  -- RARELY
  local places, made, made_kinds = new_places(), {}, {}
  letters, known = {}, {}

  for i, id in ipairs(ids) do
    if went_through then
      letters[i] = redis.call('EXISTS', stored[2 * i - 1]) == 1 and 'k' or 'w'
    elseif all_new or redis.call('SET', stored[2 * i - 1], stored[2 * i], 'NX') then
      made[#made + 1], made_kinds[#made + 1] = id, kinds[i]
      if links and links[i] then
        letters[i] = 'b'
      else
        letters[i] = choose_place(P, now, places, id, ARGV[4 + 4 * i + 2])
      end
    else
      letters[i] = 'k'
    end
    if letters[i] == 'k' or letters[i] == 'b' then known[#known + 1] = id end
  end
  tell_runs('enqueued', made, made_kinds)
  for i, id in ipairs(ids) do
    if letters[i] == 'k' and not went_through then tell('duplicate', id) end
  end

  looked_for = take_places(P, places)
  if links then
    for i, id in ipairs(ids) do
      if letters[i] == 'b' then block(P, now, id, ARGV[4 + 4 * i + 2], links[i], gate ~= '') end
    end
    settle_heirs(P, now)
    if edges.unblocked then looked_for = looked_for + 1 end
  end
  letters = table.concat(letters)
  -- END RARELY
end
if looked_for > 0 and flags[1] ~= '1' then wake(P) end

local reply = { now_text, letters }
if #known > 0 then
  -- RARELY
  for _, id in ipairs(known) do
    local state, score = state_of(P, id)
    reply[#reply + 1] = picture(P, id, state or 'waiting', score or 0)
  end
  -- END RARELY
end
if not went_through then redis.call('HSET', P .. 'calls', caller, sequence .. ' ' .. now_text) end
publish(P, now)
return reply
