-- What a caller's last call came to (see keys.py: calls), so that each call is carried out once: however often it is sent,
-- whoever acts in between, and should its first try come after its repeat. For scripts whose ARGV begins with now, caller and
-- sequence. Sequences are of one length, so that they compare as they stand.

-- The answer of this very call, if it has been carried out; of a later one of its caller, nothing: nobody reads it any more.
local function answered_before(P)
  local last, words = string.match(redis.call('HGET', P .. 'calls', ARGV[2]) or '', '^(%d+) %d+ ?(.*)$')
  if not last or last < ARGV[3] then return nil end
  local answer = {}
  for word in string.gmatch(last == ARGV[3] and words or '', '%S+') do answer[#answer + 1] = word end
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
