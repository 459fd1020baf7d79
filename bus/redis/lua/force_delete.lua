-- force_delete.lua: take a session away, whatever stands under its keys, and leave a tombstone.
-- KEYS: 1 record  2 log of events  3 ring of status  4 log of commands  5 children  6 ready  7 due  8 sessions
-- ARGV: 1 session  2 epoch for a record that has none  3 why  4 events channel  5 status channel  6 length of the ring  7 life of the ring in ms
--       8 id, 9 payload of session.state, without what state_payload adds
-- Returns {'ok', version} | {'unknown'} there is nothing of it | {'deleted'} it was deleted before | {'schema', number}: that version deletes it
local wrong = misplaced('zset', KEYS[6], KEYS[7]) or misplaced('hash', KEYS[8])
if wrong then return wrong end
local there = redis.call('HEXISTS', KEYS[8], ARGV[1]) == 1
for index = 1, 4 do there = there or redis.call('EXISTS', KEYS[index]) == 1 end
if not there then return {'unknown'} end

local counts, words = {'version', 'token', 'status', 'events', 'commands', 'children'}, {'parent', 'name', 'state'}
local kept, from = {'epoch', ARGV[2]}, nil
if redis.call('TYPE', KEYS[1]).ok == 'hash' then
  local other = other_schema(KEYS[1])
  if other then return other end
  local epoch = redis.call('HGET', KEYS[1], 'epoch')
  if epoch and is_epoch(epoch) then kept[2] = epoch end
  for _, name in ipairs(counts) do
    local value = redis.call('HGET', KEYS[1], name)
    if value and countable(value) then kept[#kept + 1], kept[#kept + 2] = name, value end
  end
  for _, name in ipairs(words) do
    local value = redis.call('HGET', KEYS[1], name)
    if value and quoted(value) ~= 'null' then kept[#kept + 1], kept[#kept + 2] = name, value end
    if name == 'state' then from = value end
  end
  if from == 'deleted' then return {'deleted'} end
end
for index = 1, 4 do redis.call('DEL', KEYS[index]) end
if redis.call('TYPE', KEYS[5]).ok ~= 'hash' then redis.call('DEL', KEYS[5]) end
redis.call('HSET', KEYS[1], 'schema', SCHEMA, 'why', ARGV[3], 'since', text(now_ms()), unpack(kept))
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
-- No token and no lease that a worker still has may fit.
redis.call('HINCRBY', KEYS[1], 'token', 1)
notify(KEYS[1], KEYS[3], ARGV[5], ARGV[8], state_payload(KEYS[1], ARGV[9], from, 'deleted', version), ARGV[6], ARGV[7])
redis.call('HSET', KEYS[1], 'state', 'deleted', 'handled', redis.call('HGET', KEYS[1], 'commands') or 0)
bury(ARGV[1], KEYS[1], KEYS[2], KEYS[3], KEYS[8], ARGV[4])
redis.call('ZREM', KEYS[6], ARGV[1])
-- A controller tells its parent, and stops its children.
redis.call('ZADD', KEYS[7], text(now_ms()), ARGV[1])
return {'ok', version}
