-- command.lua: one command, for controllers to handle.
-- KEYS: 1 record  2 log of the commands plane  3 due  4 outcome of this command
-- ARGV: 1 session  2 channel  3 id  4 payload  5 epoch for a session that this command starts, '' for any other command
--       6 life of a record that no controller has decided yet, in ms  7 most commands that may wait
-- Returns {'ok', offset} | {'done', outcome} | {'unknown'} no such session | {'full'} too many wait
-- The id is looked for among those that wait: a command sent twice, by whomever, is stored once.
local outcome = redis.call('GET', KEYS[4])
if outcome then return {'done', outcome} end
if redis.call('HEXISTS', KEYS[1], 'epoch') == 0 then
  if ARGV[5] == '' then return {'unknown'} end
  redis.call('HSET', KEYS[1], 'epoch', ARGV[5])
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
end
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+')) do
  if entry[2][2] == ARGV[3] then return {'ok', tonumber(string.match(entry[1], '^%d+'))} end
end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[7]) then return {'full'} end
local offset = store(KEYS[1], KEYS[2], ARGV[2], 'commands', ARGV[3], ARGV[4])
if redis.call('HEXISTS', KEYS[1], 'state') == 0 then
  -- Together: a log that outlives its record would refuse the offsets of the next one.
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
  redis.call('PEXPIRE', KEYS[2], ARGV[6])
end
redis.call('HINCRBY', KEYS[1], 'touched', 1)
redis.call('ZADD', KEYS[3], text(now_ms()), ARGV[1])
return {'ok', offset}
