-- renew.lua: a worker keeps its lease, says what it is doing, and is told what is wanted of it.
-- KEYS: 1 record  2 due
-- ARGV: 1 session  2 fencing token  3 length of the lease in ms  4 picture as JSON  5 nudges that the worker has seen
-- Returns {'ok', nudges} | {'stale', state}: the session was taken from this worker; its state says why ('' when it is gone, or was
--   written by a newer Tidings)
local wrong = misplaced('zset', KEYS[2])
if wrong then return wrong end
if newer(KEYS[1]) then return {'stale', ''} end
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[2] then
  return {'stale', redis.call('HGET', KEYS[1], 'state') or ''}
end
local now = now_ms()
redis.call('HSET', KEYS[1], 'lease_until', text(now + ARGV[3]))
local nudge = redis.call('HGET', KEYS[1], 'nudge')
-- A picture drawn before the worker heard of a nudge shows a wait that the nudge has ended.
if nudge == ARGV[5] and redis.call('HGET', KEYS[1], 'picture') ~= ARGV[4] then
  redis.call('HSET', KEYS[1], 'picture', ARGV[4])
  redis.call('HINCRBY', KEYS[1], 'touched', 1)
  redis.call('ZADD', KEYS[2], text(now), ARGV[1])
end
return {'ok', tonumber(nudge)}
