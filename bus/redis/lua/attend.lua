-- attend.lua: a process says that it is there; those that have not said so for long are forgotten.
-- KEYS: 1 seen (processes by the time at which they were last heard of)  2 presences (what they said)
-- ARGV: 1 role and name  2 what it says, as JSON; '' when it leaves  3 how long a silent process is kept, in ms
-- Returns 1
local wrong = misplaced('zset', KEYS[1]) or misplaced('hash', KEYS[2])
if wrong then return wrong end
local now = now_ms()
if ARGV[2] == '' then
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('HDEL', KEYS[2], ARGV[1])
else
  redis.call('ZADD', KEYS[1], text(now), ARGV[1])
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now - ARGV[3]), 'LIMIT', 0, 100)) do
  redis.call('ZREM', KEYS[1], gone)
  redis.call('HDEL', KEYS[2], gone)
end
return 1
