-- (none) -> waiting, delayed: write new jobs, all or none.
-- KEYS: queue prefix
-- ARGV: now, caller, sequence, repeated, distinct, plain, count; then for each job: id, type, wishes, rest of the record
--       distinct is '1' if no id comes twice, plain if no job has wishes
--       wishes are '' (priority 3, at once) or 'priority due expires lifo': due is '-' (at once), '+ms' from now, or ms
--       since 1970; expires is '-' or ms from now
--       the record is 'created priority type', options and data on three lines; its rest begins with the priority
-- RETURNS: now; a letter for each job: w (waiting), d (delayed), k (its id is known); then the picture of each known one
-- COST: O(log n) for each job
-- INCLUDES: clock events order state places
local P, now = KEYS[1], now_ms(ARGV[1])
local caller, sequence, count = ARGV[2], ARGV[3], tonumber(ARGV[7])
local now_text = score_text(now)

-- A repeat whose first try went through adds nothing, not even where the job has come and gone since.
local went_through = ARGV[4] == '1'
  and string.match(redis.call('HGET', P .. 'calls', caller) or '', '^(%d+)') == sequence

local ids, kinds, stored, head = {}, {}, {}, now_text .. ' '
for i = 1, count do
  local at = 4 + 4 * i
  ids[i], kinds[i] = ARGV[at], ARGV[at + 1]
  stored[2 * i - 1], stored[2 * i] = P .. 'job:' .. ids[i], head .. ARGV[at + 3]
end

-- All in one command where all are new, which they nearly always are.
local all_new = not went_through and ARGV[5] == '1' and redis.call('MSETNX', unpack(stored)) == 1
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
      letters[i] = choose_place(P, now, places, id, ARGV[4 + 4 * i + 2])
      made[#made + 1], made_kinds[#made + 1] = id, kinds[i]
    else
      letters[i] = 'k'
    end
    if letters[i] == 'k' then known[#known + 1] = id end
  end
  letters = table.concat(letters)
  tell_runs('enqueued', made, made_kinds)
  looked_for = take_places(P, places)
  -- END RARELY
end
if looked_for > 0 and redis.call('HGET', P .. 'meta', 'paused') ~= '1' then wake(P) end

local reply = { now_text, letters }
if #known > 0 then
  -- RARELY
  for _, id in ipairs(known) do
    if not went_through then tell('duplicate', id) end
    local state, score = state_of(P, id)
    reply[#reply + 1] = picture(P, id, state or 'waiting', score or 0)
  end
  -- END RARELY
end
if not went_through then redis.call('HSET', P .. 'calls', caller, sequence .. ' ' .. now_text) end
publish(P, now)
return reply
