-- command.lua: one command, for controllers to handle.
-- KEYS: 1 record  2 log of the commands plane  3 due  4 outcome of this command  5 id of the command that was sent under the same key,
--       for one that has a key
-- ARGV: 1 session  2 channel  3 id  4 payload  5 epoch for a session that this command starts, '' for any other command
--       6 life of a record that no controller has decided yet, in ms  7 most commands that may wait
--       8 '1' for a command that is accepted of a deleted session as well  9 how long a key stays taken, in ms, with KEYS 5
-- Returns {'ok', offset} | {'ok', offset, entries dropped} | {'done', outcome} | {'unknown'} no such session | {'full'} too many wait
--   | {'deleted'} the session was deleted | {'reused'} the key is another command's | {'schema', number} | {'unreadable'}
-- The id is looked for among those that wait: a command sent twice, by any sender, is stored once.
-- What lies beyond the count is no command of ours. It is dropped where it is in the way: nothing but another schema may keep a session
-- from being deleted.
local wrong = misplaced('stream', KEYS[2]) or misplaced('zset', KEYS[3])
if wrong then return wrong end
local taken = KEYS[5] and redis.call('GET', KEYS[5])
if taken and taken ~= ARGV[3] then return {'reused'} end
local outcome = redis.call('GET', KEYS[4])
if outcome then return {'done', outcome} end
local other = other_schema(KEYS[1])
if other then return other end
if redis.call('HGET', KEYS[1], 'state') == 'deleted' and ARGV[8] ~= '1' then return {'deleted'} end
if redis.call('HEXISTS', KEYS[1], 'epoch') == 0 then
  if ARGV[5] ~= '' then
    redis.call('HSET', KEYS[1], 'epoch', ARGV[5], 'schema', SCHEMA)
    redis.call('PEXPIRE', KEYS[1], ARGV[6])
  elseif redis.call('EXISTS', KEYS[1]) == 1 then
    redis.call('HSET', KEYS[1], 'epoch', 'lost')
  else
    return {'unknown'}
  end
end
local counts = redis.call('HMGET', KEYS[1], 'commands', 'touched', 'handled')
local handled = countable(counts[3]) and tonumber(counts[3] or 0) or 0
-- Where the count cannot be read the log tells it; a number that Lua does not hold exactly is none of ours.
local count = countable(counts[1]) and tonumber(counts[1] or 0) or 2 ^ 53
local entries, waiting, last = redis.call('XRANGE', KEYS[2], '-', '+'), {}, handled
for _, entry in ipairs(entries) do
  local offset = tonumber(string.match(entry[1], '^%d+'))
  if offset <= count then
    if entry[2][2] == ARGV[3] then return {'ok', offset} end
    waiting[#waiting + 1], last = entry, math.max(last, offset)
  end
end
if #waiting >= tonumber(ARGV[7]) then return {'full'} end
-- Below what was handled no command would be looked at.
if not countable(counts[1]) or count < handled then redis.call('HSET', KEYS[1], 'commands', text(last)) end
if not countable(counts[2]) then redis.call('HSET', KEYS[1], 'touched', 0) end
local offset, dropped = store(KEYS[1], KEYS[2], ARGV[2], 'commands', ARGV[3], ARGV[4]), 0
if not offset then
  drop(KEYS[2])
  for _, entry in ipairs(waiting) do
    redis.call('XADD', KEYS[2], entry[1], unpack(entry[2], 1, math.min(#entry[2], 4)))
  end
  dropped = #entries - #waiting
  offset = store(KEYS[1], KEYS[2], ARGV[2], 'commands', ARGV[3], ARGV[4])
  if not offset then return {'unreadable'} end
end
if redis.call('HEXISTS', KEYS[1], 'state') == 0 then
  -- Together: a log that outlives its record would refuse the offsets of the next one.
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
  redis.call('PEXPIRE', KEYS[2], ARGV[6])
end
if KEYS[5] then redis.call('SET', KEYS[5], ARGV[3], 'PX', ARGV[9]) end
redis.call('HINCRBY', KEYS[1], 'touched', 1)
redis.call('ZADD', KEYS[3], text(now_ms()), ARGV[1])
if dropped > 0 then return {'ok', offset, dropped} end
return {'ok', offset}
