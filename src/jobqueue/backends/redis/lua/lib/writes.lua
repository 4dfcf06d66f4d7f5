-- What a call that writes jobs came to, for when it is sent again (see keys.py: calls, and calls.lua): letters, unless all are
-- w, and then place and stander of each that fell; or why it was refused.
local function refused(P, now_text, ...)
  though_full(P)
  local why = table.concat({ ... }, ' ')
  redis.call('HSET', P .. 'calls', ARGV[2], ARGV[3] .. ' ' .. now_text .. (why == '' and '' or ' -' .. why))
  return { now_text, ... }
end

-- As it was when it was made, as far as that is still to be seen.
local function answer_again(P, now, kept, sequence, count)
  local last, at, rest = string.match(kept, '^(%d+) (%d+) ?(.*)$')
  if last ~= sequence then return last and given_up() or nil end
  local limit, group = string.match(rest, '^%-full (%d+) (.*)$')
  if limit then return { at, 'full', limit, group } end
  local missing = string.match(rest, '^%- (.*)$')
  if missing then return { at, '', missing } end
  local letters, standers, reply = string.match(rest, '^%a+') or string.rep('w', count), {}, { at, '' }
  for place, stander in string.gmatch(rest, ' (%d+) (%S+)') do standers[tonumber(place)] = stander end
  for i = 1, count do
    local id, letter = ARGV[3 + 4 * i], string.sub(letters, i, i)
    if standers[i] then
      local _, _, key = asked_of(word_of(ARGV[5 + 4 * i]))
      letter, reply[#reply + 1] = stander_picture(P, standers[i], key, now)
    elseif letter == 'k' or letter == 'b' then
      local state, score = state_of(P, id)
      if state then
        reply[#reply + 1] = picture(P, id, state, score)
      elseif letter == 'k' then
        letter, reply[#reply + 1] = 'g', { id, 'completed', at }
      else
        letter = 'w'
      end
    end
    reply[2] = reply[2] .. letter
  end
  return reply
end
