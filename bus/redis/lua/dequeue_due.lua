-- dequeue_due.lua: the sessions that want a controller now. Each is moved ahead by the visibility time: if the controller that takes it
-- dies, it comes up again for another.
-- KEYS: 1 due
-- ARGV: 1 visibility time in ms  2 most sessions to take
-- Returns {server time in ms, members that no session can be called and that were taken out, session, ...}, the longest due first
local now = now_ms()
local sessions = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now), 'LIMIT', 0, ARGV[2])
local found, strange = {}, 0
for _, session in ipairs(sessions) do
  if #session <= 64 and string.match(session, '^%w[%w_-]*$') then
    redis.call('ZADD', KEYS[1], text(now + ARGV[1]), session)
    found[#found + 1] = session
  else
    redis.call('ZREM', KEYS[1], session)
    strange = strange + 1
  end
end
return {text(now), strange, unpack(found)}
