-- take_due.lua: the sessions that want a controller now. Each is moved ahead by the visibility time: if the controller that takes it
-- dies, it comes up again for another.
-- KEYS: 1 due
-- ARGV: 1 visibility time in ms  2 most sessions to take
-- Returns {server time in ms, session, ...}, the longest due first
local now = now_ms()
local sessions = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now), 'LIMIT', 0, ARGV[2])
for _, session in ipairs(sessions) do
  redis.call('ZADD', KEYS[1], text(now + ARGV[1]), session)
end
table.insert(sessions, 1, text(now))
return sessions
