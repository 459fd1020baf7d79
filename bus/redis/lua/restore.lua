-- restore.lua: a session out of an export, record and history together, where there is none of that name.
-- KEYS: 1 record  2 log of events  3 ring of status  4 sessions
-- ARGV: 1 session  2 epoch  3 state  4 events channel  5 status channel  6 length of the ring  7 life of the ring in ms
--       8 id, 9 payload of session.state, without what state_payload adds  10 newest offset of the events
--       11 n, then n times field, value of the record
--       then offset, id, payload for each event; an offset that is left out is told to readers as a hole
-- Returns {'ok', version} | {'exists', state ('' while a start is not decided)}
local wrong = misplaced('hash', KEYS[4])
if wrong then return wrong end
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch == ARGV[2] then return {'ok', tonumber(redis.call('HGET', KEYS[1], 'version'))} end
if redis.call('EXISTS', KEYS[1]) == 1 then return {'exists', redis.call('HGET', KEYS[1], 'state') or ''} end
local count = tonumber(ARGV[11])
for index = 12, 11 + 2 * count, 2 do redis.call('HSET', KEYS[1], ARGV[index], ARGV[index + 1]) end
redis.call('HSET', KEYS[1], 'epoch', ARGV[2], 'state', ARGV[3], 'version', 1, 'since', text(now_ms()), 'schema', SCHEMA)
-- Not before the first write that takes memory: a full server refuses a script there, and no later than at its first write.
redis.call('DEL', KEYS[2])
redis.call('DEL', KEYS[3])
local message
for index = 12 + 2 * count, #ARGV, 3 do
  message = string.sub(ARGV[index + 2], 1, -2) .. ',"offset":' .. ARGV[index] .. ',"epoch":"' .. ARGV[2] .. '"}'
  redis.call('XADD', KEYS[2], ARGV[index] .. '-0', 'id', ARGV[index + 1], 'm', message)
end
redis.call('HSET', KEYS[1], 'events', ARGV[10])
redis.call('HSET', KEYS[4], ARGV[1], ARGV[3])
-- One is enough: a reader that waits for this history reads the log because of it.
if message then redis.call('PUBLISH', ARGV[4], message) end
notify(KEYS[1], KEYS[3], ARGV[5], ARGV[8], state_payload(KEYS[1], ARGV[9], nil, ARGV[3], 1), ARGV[6], ARGV[7])
return {'ok', 1}
