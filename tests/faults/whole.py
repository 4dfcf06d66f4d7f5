"""Whether what a server holds of a queue is whole: each job in one state and one only, with its record and its lease.

One script reads everything in the same instant, so that it may be asked while workers are at it.
"""

from __future__ import annotations

from typing import cast

import redis

from jobqueue.backends.redis.keys import prefix

_LOOK = """
local P, torn, state_of = KEYS[1], {}, {}
for _, state in ipairs({ 'waiting', 'active', 'delayed', 'completed', 'failed', 'cancelled', 'blocked' }) do
  for _, id in ipairs(redis.call('ZRANGE', P .. state, 0, -1)) do
    if state_of[id] then torn[#torn + 1] = id .. ' is both ' .. state_of[id] .. ' and ' .. state end
    state_of[id] = state
    local recorded = redis.call('EXISTS', P .. 'job:' .. id) == 1
    if not recorded then torn[#torn + 1] = id .. ' is ' .. state .. ' without a record' end
    local leased = redis.call('HEXISTS', P .. 'leases', id) == 1
    if leased ~= (state == 'active') then
      torn[#torn + 1] = id .. ' is ' .. state .. (leased and ' and leased' or ' without a lease')
    end
    if state == 'completed' and redis.call('EXISTS', P .. 'end:' .. id) == 0 then
      torn[#torn + 1] = id .. ' is completed without an end'
    end
  end
end
for _, id in ipairs(redis.call('HKEYS', P .. 'leases')) do
  if not state_of[id] then torn[#torn + 1] = id .. ' is leased and in no state' end
end
for _, kind in ipairs({ 'job:', 'end:', 'life:', 'log:' }) do
  for _, key in ipairs(redis.call('KEYS', string.gsub(P, '[%[%]*?\\\\]', '\\\\%0') .. kind .. '*')) do
    local id = string.sub(key, #P + #kind + 1)
    if not state_of[id] then torn[#torn + 1] = key .. ' belongs to no job' end
  end
end
return torn
"""


def torn(url: str, queue: str, namespace: str = "jobqueue") -> list[str]:
    """What is not whole, in words; empty where all is well. O(jobs): for tests."""
    with redis.Redis.from_url(url, decode_responses=True) as client:  # pyright: ignore[reportUnknownMemberType]
        return cast("list[str]", client.eval(_LOOK, 1, prefix(namespace, queue)))
