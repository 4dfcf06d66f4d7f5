-- What a caller's last call came to (see keys.py: calls), so that each call is carried out once: however often it is sent,
-- whoever acts in between, and should its first try come after its repeat. For scripts whose ARGV begins with now, caller and
-- sequence. A sequence is a number of 12 digits, and digits by which a call is known from the one of that number which a copy of
-- its process has made.

-- Whether what is remembered is this call or one that came after it. Or a copy's of the same number: then it cannot be told which
-- was first, and what is remembered stays for the one that it belongs to.
local function has_come(kept, sequence)
  return kept >= string.sub(sequence, 1, 12)
end

local function given_up()
  return redis.error_reply('GIVENUP its caller has made another call since, so this one is not carried out')
end

-- The answer of this very call, if it has been carried out.
local function answered_before(P)
  local kept = redis.call('HGET', P .. 'calls', ARGV[2])
  if not kept or not has_come(kept, ARGV[3]) then return nil end
  local last, words = string.match(kept, '^(%d+) %d+ ?(.*)$')
  if last ~= ARGV[3] then return last and given_up() or nil end
  local answer = {}
  for word in string.gmatch(words, '%S+') do answer[#answer + 1] = word end
  return answer
end

-- Words without spaces. On a full server a script must have begun with a removal.
local function answered(P, now, ...)
  local answer = { ... }
  -- The same to a repeat, which hears it from a text.
  for i = 1, #answer do answer[i] = tostring(answer[i]) end
  redis.call('HSET', P .. 'calls', ARGV[2], ARGV[3] .. ' ' .. score_text(now) .. ' ' .. table.concat(answer, ' '))
  return answer
end

-- For a script that has not written anything: what takes no memory is said on a full server too.
local function declined(P, now, ...)
  though_full(P)
  return answered(P, now, ...)
end
