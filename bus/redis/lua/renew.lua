-- renew.lua: a worker keeps its lease, says what it is doing, and is told what is wanted of it.
-- KEYS: 1 record  2 due
-- ARGV: 1 session  2 fencing token  3 random part of the lease  4 epoch  5 length of the lease in ms  6 picture as JSON
--       7 nudges that the worker has seen
-- Returns {'ok', nudges} | {'stale', state}: the session was taken from this worker; its state says why ('' when it is gone, is another
--   one of the same name, or was written with another schema)
local wrong = misplaced('zset', KEYS[2])
if wrong then return wrong end
if other_schema(KEYS[1]) then return {'stale', ''} end
if not holds(KEYS[1], ARGV[2], ARGV[3], ARGV[4]) then
  local now = redis.call('HMGET', KEYS[1], 'epoch', 'state')
  return {'stale', now[1] == ARGV[4] and now[2] or ''}
end
local now = now_ms()
redis.call('HSET', KEYS[1], 'lease_until', text(now + ARGV[5]))
local nudge = redis.call('HGET', KEYS[1], 'nudge')
-- A picture drawn before the worker heard of a nudge shows a wait that the nudge has ended.
if nudge == ARGV[7] and redis.call('HGET', KEYS[1], 'picture') ~= ARGV[6] then
  redis.call('HSET', KEYS[1], 'picture', ARGV[6])
  redis.call('HINCRBY', KEYS[1], 'touched', 1)
  redis.call('ZADD', KEYS[2], text(now), ARGV[1])
end
return {'ok', tonumber(nudge)}
