-- quarantine.lua: leave a session alone that cannot be read or written, longer each time in a row, and refuse the commands that wait there.
-- KEYS: 1 record  2 due  3 log of commands  then the outcome of each command that waits
-- ARGV: 1 session  2 shortest, 3 longest time in ms  4 touched count on which that rests  5 channel of outcomes  6 life of an outcome in ms
--       7 newest offset of these commands, then the outcome of each as JSON
-- Returns {times in a row, ms until it is looked at again} | {0, ms}: nothing was refused, and its record was not touched: something was
--   asked of it meanwhile, or another schema wrote it, whose controllers must not wait for long
local wrong = misplaced('zset', KEYS[2])
if wrong then return wrong end
local times, wait = 1, tonumber(ARGV[3])
-- Where the record is no hash nothing can be counted in it.
if redis.call('TYPE', KEYS[1]).ok == 'hash' then
  local held = redis.call('HMGET', KEYS[1], 'failures', 'touched', 'handled')
  local other = other_schema(KEYS[1])
  if other or (held[2] or '0') ~= ARGV[4] then
    wait = other and 1000 or 0
    redis.call('ZADD', KEYS[2], 'XX', text(now_ms() + wait), ARGV[1])
    return {0, wait}
  end
  times = (countable(held[1]) and tonumber(held[1] or 0) or 0) + 1
  wait = math.min(wait, tonumber(ARGV[2]) * 2 ^ math.min(times - 1, 50))
  redis.call('HSET', KEYS[1], 'failures', text(times))
  if countable(held[3]) and tonumber(held[3] or 0) < tonumber(ARGV[7]) then redis.call('HSET', KEYS[1], 'handled', ARGV[7]) end
end
redis.call('ZADD', KEYS[2], 'XX', text(now_ms() + wait), ARGV[1])
for index = 8, #ARGV do
  if redis.call('EXISTS', KEYS[index - 4]) == 0 then
    redis.call('SET', KEYS[index - 4], ARGV[index], 'PX', ARGV[6])
    redis.call('PUBLISH', ARGV[5], ARGV[index])
  end
end
if #ARGV > 7 then redis.call('XTRIM', KEYS[3], 'MINID', text(tonumber(ARGV[7]) + 1)) end
return {times, wait}
