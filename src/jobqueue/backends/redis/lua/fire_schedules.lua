-- (none) -> waiting, delayed: put the jobs of schedules in and move the schedules on, each if it is as the caller saw it.
-- KEYS: queue prefix
-- ARGV: now, count, then for each: id, revision, tick ('' none), next tick, next due, limit (0 none), alone, by hand, number
--       of jobs, then for each job: id, type, wishes, rest of the record (see enqueue.lua)
-- RETURNS: for each how many jobs are in, -1 if the schedule was not as expected
-- COST: O(log n) for each schedule and job
-- INCLUDES: clock events order state lines places schedules
local P, now = KEYS[1], now_ms(ARGV[1])
local head, places, known_ids, answers, at = score_text(now) .. ' ', new_places(), {}, {}, 3

for firing = 1, tonumber(ARGV[2]) do
  local id, revision, tick, next_tick, next_due = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local limit, alone, by_hand, jobs = tonumber(ARGV[at + 5]), ARGV[at + 6] == '1', ARGV[at + 7] == '1', tonumber(ARGV[at + 8])
  local first = at + 9
  at = first + 4 * jobs
  local key = P .. 'schedule:' .. id
  local known = schedule_of(P, id)
  if not known or known[3] ~= revision or (known[4] or '') ~= tick then
    answers[firing] = -1
  elseif by_hand and redis.call('HGET', key, 'by_hand') == ARGV[first] then
    answers[firing] = 1
  else
    local made, last = 0, nil
    local before = alone and known[11] and state_of(P, known[11])
    local busy = before == 'waiting' or before == 'active' or before == 'delayed' or before == 'blocked'
    for place = first, at - 1, 4 do
      if not busy then
        local job = ARGV[place]
        if redis.call('SET', P .. 'job:' .. job, head .. ARGV[place + 3], 'NX') then
          choose_place(P, now, places, job, ARGV[place + 2])
          tell('enqueued', job, ARGV[place + 1])
        else
          known_ids[#known_ids + 1] = job
        end
        made, last, busy = made + 1, job, alone
      end
    end
    if last then redis.call('HSET', key, 'last', last, 'last_at', score_text(now)) end
    if by_hand then
      redis.call('HSET', key, 'by_hand', last)
    else
      local runs = (finite(known[9]) or 0) + made
      if limit > 0 and runs >= limit then next_tick, next_due = '', '' end
      redis.call('HSET', key, 'tick', next_tick, 'due', next_due, 'runs', score_text(runs),
        'skipped', score_text((finite(known[10]) or 0) + jobs - made))
      enter_schedule(P, id, next_due)
    end
    answers[firing] = made
  end
end

for _, id in ipairs(known_ids) do tell('duplicate', id) end
if take_places(P, places) > 0 and redis.call('HGET', P .. 'meta', 'paused') ~= '1' then wake(P) end
publish(P, now)
return answers
