-- command.lua: one command, for controllers to handle.
-- KEYS: 1 record  2 log of the commands plane  3 due  4 outcome of this command  5 id of the command that was sent under the same key,
--       for one that has a key
-- ARGV: 1 session  2 channel  3 id  4 payload  5 epoch for a session that this command starts, '' for any other command
--       6 life of a record that no controller has decided yet, in ms  7 most commands that may wait
--       8 '1' for a command that is accepted of a deleted session as well  9 how long a key stays taken, in ms, with KEYS 5
-- Returns {'ok', offset} | {'done', outcome} | {'unknown'} no such session | {'full'} too many wait | {'deleted'} the session was deleted
--   | {'reused'} the key is another command's | {'schema', number} | {'unreadable'} its record or log cannot be used, or controllers cannot
--   decide it (quarantine.lua)
-- The id is looked for among those that wait: a command sent twice, by any sender, is stored once.
local wrong = misplaced('stream', KEYS[2]) or misplaced('zset', KEYS[3])
if wrong then return wrong end
local taken = KEYS[5] and redis.call('GET', KEYS[5])
if taken and taken ~= ARGV[3] then return {'reused'} end
local outcome = redis.call('GET', KEYS[4])
if outcome then return {'done', outcome} end
local other = other_schema(KEYS[1])
if other then return other end
if redis.call('HGET', KEYS[1], 'state') == 'deleted' and ARGV[8] ~= '1' then return {'deleted'} end
local held = redis.call('HMGET', KEYS[1], 'epoch', 'state', 'failures', 'commands')
local begun = held[1] or held[2]
if not begun and ARGV[5] == '' then return {'unknown'} end
if quarantined(held[3]) or unfit(KEYS[1], 'commands', 'touched', 'handled') then return {'unreadable'} end
local entries, count = redis.call('XRANGE', KEYS[2], '-', '+'), tonumber(held[4] or 0)
for _, entry in ipairs(entries) do
  local offset = tonumber(string.match(entry[1], '^%d+'))
  -- What lies beyond the count is no command of ours.
  if offset > count then return {'unreadable'} end
  if entry[2][2] == ARGV[3] then return {'ok', offset} end
end
if #entries >= tonumber(ARGV[7]) then return {'full'} end
if not begun then redis.call('HSET', KEYS[1], 'epoch', ARGV[5], 'schema', SCHEMA) end
local offset = store(KEYS[1], KEYS[2], ARGV[2], 'commands', ARGV[3], ARGV[4])
if not offset then return {'unreadable'} end
if redis.call('HEXISTS', KEYS[1], 'state') == 0 then
  -- Together: a log that outlives its record would refuse the offsets of the next one.
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
  redis.call('PEXPIRE', KEYS[2], ARGV[6])
end
if KEYS[5] then redis.call('SET', KEYS[5], ARGV[3], 'PX', ARGV[9]) end
redis.call('HINCRBY', KEYS[1], 'touched', 1)
redis.call('ZADD', KEYS[3], text(now_ms()), ARGV[1])
return {'ok', offset}
