-- renew.lua: workers keep their leases, say what they are doing, and are told what is wanted of them: for any number of sessions.
-- KEYS: 1 due  then the record of each session
-- ARGV: for each session: id, fencing token, random part of the lease, epoch, length of the lease in ms, picture as JSON,
--       how often it was resumed while held, as far as its worker knows
-- Returns for each session {'ok', resumptions} | {'stale', state}: it was taken from this worker; its state says why ('' when it is gone,
--   is another one of the same name, or was written with another schema) | {'unreadable'}: what must be counted on in its record is no count
local wrong = misplaced('zset', KEYS[1])
if wrong then return wrong end
local now = now_ms()

local function renew(record, session, token, lease, epoch, length, picture, seen)
  if misplaced('hash', record) then return {'unreadable'} end
  local held = redis.call('HMGET', record, 'schema', 'token', 'lease', 'epoch', 'state', 'nudge', 'picture', 'touched', 'failures')
  if mismatch(held[1]) then return {'stale', ''} end
  if held[2] ~= token or held[3] ~= lease or held[4] ~= epoch then return {'stale', held[4] == epoch and held[5] or ''} end
  redis.call('HSET', record, 'lease_until', text(now + length))
  -- A picture drawn before the worker heard of a resumption shows a wait that is over.
  if held[6] == seen and held[7] ~= picture then
    if not countable(held[8]) then return {'unreadable'} end
    redis.call('HSET', record, 'picture', picture)
    redis.call('HINCRBY', record, 'touched', 1)
    if not quarantined(held[9]) then redis.call('ZADD', KEYS[1], text(now), session) end
  end
  return {'ok', tonumber(held[6])}
end

local answers = {}
for index = 2, #KEYS do
  local at = (index - 2) * 7
  answers[index - 1] = renew(KEYS[index], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6], ARGV[at + 7])
end
return answers
