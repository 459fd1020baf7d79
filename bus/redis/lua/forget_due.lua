-- forget_due.lua: take a session that does not exist out of due; one that was started meanwhile stays.
-- KEYS: 1 record  2 due
-- ARGV: 1 session
-- Returns 1 when it was taken out, else 0
local wrong = misplaced('zset', KEYS[2])
if wrong then return wrong end
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
return redis.call('ZREM', KEYS[2], ARGV[1])
