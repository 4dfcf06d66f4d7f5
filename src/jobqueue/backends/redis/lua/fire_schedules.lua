-- (none) -> waiting, delayed: put the jobs of schedules in and move the schedules on, each if it is as the caller saw it.
-- KEYS: queue prefix
-- ARGV: now, caller, sequence, count (and 'u' if a job has a unique key), then for each: id, revision, tick ('' none), next
--       tick, next due, limit (0 none), alone, by hand, number of jobs, then for each
--       job: id, type, wishes, rest of the record (see enqueue.lua)
-- RETURNS: for each how many jobs are in, -1 if the schedule was not as expected
-- COST: O(log n) for each schedule and job
-- INCLUDES: clock events order state lines finish holds outbox flows links places unique schedules calls
local P, now = KEYS[1], now_ms(ARGV[1])
local replied = answered_before(P)
if replied then return replied end
local function unfinished(id)
  local state = id and state_of(P, id)
  return state == 'waiting' or state == 'active' or state == 'delayed' or state == 'blocked'
end

local head, places, later, answers, at = score_text(now) .. ' ', new_places(), {}, {}, 5
local count, keyed = string.match(ARGV[4], '^(%d+)(u?)$')
local waiting = 0

for firing = 1, tonumber(count) do
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
    local made, last, asked = 0, nil, nil
    -- The last job may be one by hand, beside which a tick's may run.
    local busy = alone and (unfinished(known[11]) or unfinished(redis.call('HGET', key, 'ticked')))
    for place = first, at - 1, 4 do
      if not busy then
        local job, wishes, record, verdict, stander = ARGV[place], ARGV[place + 2], ARGV[place + 3], 'new', nil
        local word = keyed == 'u' and word_of(wishes)
        if word and redis.call('EXISTS', P .. 'job:' .. job) == 0 then verdict, stander = judge(P, now, {}, job, word) end
        if verdict == 'over' then waiting = waiting + take_over(P, now, stander, wishes, record) end
        if stander and verdict ~= 'next' then
          later[#later + 1] = { verdict == 'over' and 'replaced' or 'deduplicated', stander, job }
        elseif redis.call('SET', P .. 'job:' .. job, head .. record, 'NX') then
          if verdict == 'next' then
            keep_next(P, now, job, word, wishes)
          else
            choose_place(P, now, places, job, wishes)
            if word then ask_for_key(P, now, job, word) end
          end
          tell('enqueued', job, ARGV[place + 1])
          stander = nil
        else
          later[#later + 1] = { 'duplicate', job }
        end
        if keyed == 'u' then waiting, places = waiting + take_places(P, places), new_places() end
        made, last, asked, busy = made + 1, stander or job, job, alone
      end
    end
    if last then redis.call('HSET', key, 'last', last, 'last_at', score_text(now)) end
    if by_hand then
      redis.call('HSET', key, 'by_hand', asked)
    else
      if last then redis.call('HSET', key, 'ticked', last) end
      local runs = (finite(known[9]) or 0) + made
      if limit > 0 and runs >= limit then next_tick, next_due = '', '' end
      redis.call('HSET', key, 'tick', next_tick, 'due', next_due, 'runs', score_text(runs),
        'skipped', score_text((finite(known[10]) or 0) + jobs - made))
      enter_schedule(P, id, next_due)
    end
    answers[firing] = made
  end
end

for _, event in ipairs(later) do tell(unpack(event)) end
waiting = waiting + take_places(P, places)
if (waiting > 0 or edges.unblocked) and redis.call('HGET', P .. 'meta', 'paused') ~= '1' then wake(P) end
publish(P, now)
return answered(P, now, unpack(answers))
