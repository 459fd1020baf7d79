-- set_aside.lua: have a session come up later that no controller can decide now; at once, if something was asked of it meanwhile.
-- KEYS: 1 record  2 due
-- ARGV: 1 session  2 in how many ms  3 touched count on which that rests, '*' for any
-- Returns 1
local wrong = misplaced('zset', KEYS[2])
if wrong then return wrong end
local now = now_ms()
local touched = redis.pcall('HGET', KEYS[1], 'touched')
if type(touched) ~= 'string' then touched = '0' end
local later = ARGV[3] == '*' or touched == ARGV[3]
redis.call('ZADD', KEYS[2], 'XX', text(later and now + ARGV[2] or now), ARGV[1])
return 1
