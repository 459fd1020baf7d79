-- withdraw.lua: the asker stops waiting. The first to write the outcome decides it: this script or decide.lua.
-- KEYS: 1 outcome of the command
-- ARGV: 1 outcome 'expired' as JSON  2 life of the outcome in ms
-- Returns the outcome that stands, as JSON
local outcome = redis.call('GET', KEYS[1])
if outcome then return outcome end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
