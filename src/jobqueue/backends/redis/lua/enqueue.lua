-- (none) -> waiting, delayed, blocked: write new jobs, all or none.
-- KEYS: queue prefix
-- ARGV: now, caller, sequence, distinct, plain, count; then for each job: id, type, wishes, rest of the record
--       distinct is '1 ' if no id comes twice, else '0 ', followed by '' (limits hold), 'force' (they do not), or the ms for
--       which the caller will wait for room; plain '1' if no job has wishes, 'u' if one has a unique key, else '0'
--       wishes are '' (priority 3, at once) or 'priority due expires lifo group unique' (the last
--       two may be missing; unique is what it asks for, see lib/holds.lua): due is '-' (at once), '+ms' from now, or ms
--       since 1970; expires is '-' or ms from now
--       the record is 'created priority type', options and data on three lines; its rest begins with the priority
--       last, for jobs that wait for others (links.lua): gate of their flow ('' none), ms at which the flow was read, then
--       for each such job: its place, number of words, pairs of what it needs and policy, number of words, pairs of heir
--       and policy
-- RETURNS: now; a letter for each job: w (waiting), d (delayed), k (its id is known), b (it is blocked, or has taken
--          over what a later one asked for), f (it fell), g (it
--          fell to one that is gone); then in their order the picture of each k and b, of the one that stands for each f, and
--          the id, state and ms of that for each g. Or now, '', a job of this queue that is needed and missing. Or now, 'full', the
--          limit, the group whose it is ('' the queue's): nothing was written. A call that is sent again is told the same.
--          STALE if the flow was read so long ago that its gate may have been opened and forgotten: nothing was written
-- COST: O(log n) for each job
-- INCLUDES: clock events order state lines finish holds outbox flows links places unique room full calls writes
local P, now = KEYS[1], now_ms(ARGV[1])
local caller, sequence, count = ARGV[2], ARGV[3], tonumber(ARGV[6])
local now_text = score_text(now)

-- What this call has come to before is told again, and nothing is added, not even where a job has come and gone since.
local kept = redis.call('HGET', P .. 'calls', caller)
if kept and has_come(kept, sequence) then
  -- RARELY
  local replied = answer_again(P, now, kept, sequence, count)
  if replied then return replied end
  -- END RARELY
end

-- Those whose key is held fall, which is known before anything else is: `verdicts` are words, `standers` who stands instead.
local verdicts, standers, falls = nil, {}, {}
if ARGV[5] == 'u' then
  -- RARELY
  verdicts = {}
  local found, made = {}, {}
  for i = 1, count do
    local id, word = ARGV[3 + 4 * i], word_of(ARGV[5 + 4 * i])
    if made[id] or redis.call('EXISTS', P .. 'job:' .. id) == 1 then
      verdicts[i] = 'known'
    elseif word then
      verdicts[i], standers[i] = judge(P, now, found, id, word)
    else
      verdicts[i] = 'new'
    end
    made[id] = made[id] or verdicts[i] == 'new' or verdicts[i] == 'next'
    falls[i] = verdicts[i] == 'fell' or verdicts[i] == 'over'
  end
  -- END RARELY
end

-- All that is needed of this queue must be there, before anything is written.
local links_at, links, gate, opened = 7 + 4 * count, nil, '', false
if ARGV[links_at] then
  -- RARELY
  gate, links = ARGV[links_at], links_from(links_at + 2)
  if gate ~= '' then
    opened = gate_is_open(P, gate)
    if not opened and read_too_long_ago(now, ARGV[links_at + 1]) then
      return redis.error_reply('STALE the flow was read too long ago: it must be read again')
    end
  else
    local own, made = own_queue(P), {}
    for i = 1, count do
      for n = 1, links[i] and #links[i].needs or 0, 2 do
        local queue, id = string.match(links[i].needs[n], '^([^/]+)/(.+)$')
        if queue == own and not made[id] and redis.call('EXISTS', P .. 'job:' .. id) == 0 then
          -- An id that is known is left as it is, whatever it is said to need.
          local known = falls[i] or made[ARGV[3 + 4 * i]] or redis.call('EXISTS', P .. 'job:' .. ARGV[3 + 4 * i]) == 1
          if not known then return refused(P, now_text, '', id) end
        end
      end
      if not falls[i] then made[ARGV[3 + 4 * i]] = true end
    end
  end
  -- END RARELY
end

local ids, kinds, stored, head = {}, {}, {}, now_text .. ' '
for i = 1, count do
  local at = 3 + 4 * i
  ids[i], kinds[i] = ARGV[at], ARGV[at + 1]
  stored[2 * i - 1], stored[2 * i] = P .. 'job:' .. ids[i], head .. ARGV[at + 3]
end

local flags = redis.call('HMGET', P .. 'meta', 'paused', 'lined', 'bounded')
traits.lined = flags[2] and true
local distinct, wait = string.match(ARGV[4], '^(%d) (%S*)$')
if flags[3] and wait ~= 'force' and not opened then
  -- RARELY
  local full = refusal(P, now, ids, function(i) return ARGV[5 + 4 * i] end, verdicts, standers)
  if full then
    if wait ~= '' then await_room(P, now + tonumber(wait)) end
    return refused(P, now_text, 'full', full[1], full[2])
  end
  if wait ~= '' then pass_on_room(P, now) end
  -- END RARELY
end

-- All in one command where all are new, which they nearly always are.
local all_new = not opened and not verdicts and distinct == '1' and redis.call('MSETNX', unpack(stored)) == 1
local letters, known, looked_for

if all_new and ARGV[5] == '1' then
  letters, known, looked_for = string.rep('w', count), {}, count
  tell_runs('enqueued', ids, kinds)
  append_waiting(P, ids)
else
  -- RARELY
  local places, made, made_kinds, moved = new_places(), {}, {}, 0
  letters, known = {}, {}
  local places_of = {}

  for i, id in ipairs(ids) do
    if falls[i] then
      letters[i] = 'f'
      if verdicts[i] == 'over' then
        moved = moved + take_over(P, now, standers[i], ARGV[5 + 4 * i], ARGV[6 + 4 * i])
        -- One that was made just now is not any more what was asked for.
        if places_of[standers[i]] then letters[places_of[standers[i]]] = 'b' end
      end
    elseif opened then
      letters[i] = redis.call('EXISTS', stored[2 * i - 1]) == 1 and 'k' or 'w'
    elseif all_new or redis.call('SET', stored[2 * i - 1], stored[2 * i], 'NX') then
      local wishes = ARGV[5 + 4 * i]
      made[#made + 1], made_kinds[#made + 1] = id, kinds[i]
      if verdicts and verdicts[i] == 'next' then
        letters[i] = 'b'
        keep_next(P, now, id, word_of(wishes), wishes)
      elseif links and links[i] then
        letters[i] = 'b'
        if verdicts then block(P, now, id, wishes, links[i], true) end
      else
        letters[i] = choose_place(P, now, places, id, wishes)
      end
      if verdicts then
        places_of[id] = i
        if verdicts[i] == 'new' and word_of(wishes) then ask_for_key(P, now, id, word_of(wishes)) end
        -- The next one may have this one take over what it asks for: it must be in its place by then.
        moved, places = moved + take_places(P, places), new_places()
      end
    else
      letters[i] = 'k'
    end
  end
  tell_runs('enqueued', made, made_kinds)
  for i, id in ipairs(ids) do
    if letters[i] ~= 'w' and letters[i] ~= 'd' then known[#known + 1] = i end
    if letters[i] == 'k' and not opened then tell('duplicate', id) end
    if verdicts and verdicts[i] == 'fell' then tell('deduplicated', standers[i], id) end
    if verdicts and verdicts[i] == 'over' then tell('replaced', standers[i], id) end
  end

  looked_for = moved + take_places(P, places)
  if links then
    for i, id in ipairs(ids) do
      if letters[i] == 'b' and not verdicts then
        block(P, now, id, ARGV[5 + 4 * i], links[i], gate ~= '')
      elseif letters[i] == 'b' and links[i] and verdicts[i] == 'new' and gate == '' then
        connect_all(P, now, id, links[i])
      end
    end
    settle_heirs(P, now)
  end
  if edges.unblocked then looked_for = looked_for + 1 end
  -- END RARELY
end
if looked_for > 0 and flags[1] ~= '1' then wake(P) end

local reply, note = { now_text, letters }, ''
if type(letters) == 'table' then
  -- RARELY
  for _, i in ipairs(known) do
    if falls[i] then
      local _, _, key = asked_of(word_of(ARGV[5 + 4 * i]))
      letters[i], reply[#reply + 1] = stander_picture(P, standers[i], key, now)
      note = note .. ' ' .. i .. ' ' .. standers[i]
    else
      local state, score = state_of(P, ids[i])
      reply[#reply + 1] = picture(P, ids[i], state or 'waiting', score or 0)
    end
  end
  reply[2] = table.concat(letters)
  if string.find(reply[2], '[^w]') then note = ' ' .. reply[2] .. note end
  -- END RARELY
end
if not opened then redis.call('HSET', P .. 'calls', caller, sequence .. ' ' .. now_text .. note) end
publish(P, now)
return reply
