-- publish.lua: one notice of the status plane, in one atomic step.
-- KEYS: 1 record  2 ring of the status plane  3 due
-- ARGV: 1 session  2 channel  3 id  4 payload  5 fencing token, '' when the writer holds nothing  6 random part of its lease  7 epoch
--       8 picture as JSON, '' for none  9 nudges that the writer has seen  10 length of the ring  11 life of the ring in ms
--       12 '1' when this id may have been stored before
-- Returns {'ok', offset, epoch}, or that nothing was written: {'unknown'} no such session | {'deleted'} it was deleted
--   | {'stale'} the writer does not hold it | {'schema', number} written with another schema | {'unreadable'} a count in the record is none
local wrong = misplaced('zset', KEYS[3])
if wrong then return wrong end
local why = unfit(KEYS[1], 'status', 'touched')
if why then return why end
local state, failures = unpack(redis.call('HMGET', KEYS[1], 'state', 'failures'))
if not state then return {'unknown'} end
if state == 'deleted' then return {'deleted'} end
if ARGV[5] ~= '' and not holds(KEYS[1], ARGV[5], ARGV[6], ARGV[7]) then return {'stale'} end
if ARGV[12] == '1' then
  for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+')) do
    if entry[2][2] == ARGV[3] then return {'ok', tonumber(string.match(entry[1], '^%d+')), redis.call('HGET', KEYS[1], 'epoch')} end
  end
end
local offset, epoch = notify(KEYS[1], KEYS[2], ARGV[2], ARGV[3], ARGV[4], ARGV[10], ARGV[11])
if ARGV[8] ~= '' and redis.call('HGET', KEYS[1], 'nudge') == ARGV[9] then
  redis.call('HSET', KEYS[1], 'picture', ARGV[8])
end
redis.call('HINCRBY', KEYS[1], 'touched', 1)
-- It must not bring up what is set aside: a worker may tell much.
if not quarantined(failures) then redis.call('ZADD', KEYS[3], text(now_ms()), ARGV[1]) end
return {'ok', offset, epoch}
