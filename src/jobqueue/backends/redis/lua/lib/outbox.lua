-- The outbox: what is owed to other queues, and to the many of this one that one script cannot tell (see keys.py: outbox).
-- Of what one script may come to: how many heirs it tells, and how many jobs it asks for on behalf of those that are retried.
local edges = { left = 1000, asks = 1000, outbox = false, notices = false, unblocked = false, again = false }

-- 'jobqueue:{tickets}:' is the prefix of tickets.
local function own_queue(P)
  return string.match(P, '{([^}]*)}:$')
end

local function add_effect(P, ...)
  redis.call('XADD', P .. 'outbox', '*', ...)
  edges.outbox = true
end

-- The oldest entries of the outbox from there on, a table by field each; and where the next ones begin, if there may be any.
local function effects_in(P, count, from)
  local found, entries = {}, redis.call('XRANGE', P .. 'outbox', from or '-', '+', 'COUNT', count)
  for place, entry in ipairs(entries) do
    found[place] = {}
    for i = 1, #entry[2], 2 do found[place][entry[2][i]] = entry[2][i + 1] end
  end
  return found, #entries == count and '(' .. entries[count][1] or nil
end

-- The ends that lie in the outbox from there on, of which a thousand entries are read: by the job that has ended, and, where one
-- heir is told, by that.
local function read_ends(P, from)
  local ends, own = {}, own_queue(P)
  for _ = 1, 10 do
    local found
    found, from = effects_in(P, 100, from)
    for _, one in ipairs(found) do
      local told = { one.state, one.detail, one.result, one.error }
      if one.kind == 'edge' then ends[one.parent .. ' ' .. one.to .. '/' .. one.heir] = told end
      if one.kind == 'spread' then ends[own .. '/' .. one.parent] = told end
    end
    if not from then break end
  end
  ends.cut = from
  return ends
end

-- The end of a job that is gone, as long as its heir has not been told; and, where it may lie beyond what was read, from where on.
local function end_on_its_way(P, job, heir, from)
  edges.ends = edges.ends or read_ends(P, from)
  local told = edges.ends[job .. ' ' .. heir] or edges.ends[job]
  return told, not told and edges.ends.cut
end
