-- claim.lua: take a queued session: out of ready, a lease with the next fencing token and a random part, RUNNING.
-- KEYS: 1 record  2 ready  3 due  4 ring of the status plane  5 sessions
-- ARGV: 1 session  2 worker as JSON  3 length of the lease in ms  4 status channel  5 length of the ring  6 life of the ring in ms
--       7 id, 8 payload of worker.claimed, without the token  9 id, 10 payload of session.state, without what state_payload adds
--       11 epoch for a session that is made by this claim, '' when it must exist  12 picture as JSON, where the record's has no waits
--       13 random part of the lease  14 queue and 15 agent ('' for none) of KEYS 2  16 how a session that is made here is worked on, as JSON
--       17 payload of session.state for a session that names its model, 18 picture for it
-- Returns {'ok', token, version, epoch, parks, lease_until_ms, parent, name, picture, parked ms, work} | {'no', state ('' when there is no
--   such session)} | {'moved', queue, agent}: it stands in another queue
--   | {'schema', number}: written with another schema, left where it is | {'unreadable'}: handed from ready to the controllers, which tell of it
local wrong = misplaced('zset', KEYS[2], KEYS[3]) or misplaced('hash', KEYS[5])
if wrong then return wrong end
local unable = unfit(KEYS[1], 'token', 'version', 'parks', 'parked_ms', 'status', 'commands', 'handled')
if unable then
  if unable[1] == 'unreadable' and redis.call('ZREM', KEYS[2], ARGV[1]) == 1 then
    redis.call('ZADD', KEYS[3], text(now_ms()), ARGV[1])
  end
  return unable
end
local state = redis.call('HGET', KEYS[1], 'state') or ''
if state ~= '' then
  local other = elsewhere(KEYS[1], ARGV[14], ARGV[15])
  if other then
    redis.call('ZREM', KEYS[2], ARGV[1])
    return other
  end
end
if state == '' and ARGV[11] ~= '' then
  redis.call('HSETNX', KEYS[1], 'epoch', ARGV[11])
  redis.call('HSET', KEYS[1], 'queue', ARGV[14], 'agent', ARGV[15], 'work', ARGV[16])
  redis.call('PERSIST', KEYS[1])
elseif state ~= 'queued' then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return {'no', state}
end
local now = now_ms()
-- Calls that an earlier worker began are counted on from there; in JSON a quote inside of a text would be escaped.
local picture = redis.call('HGET', KEYS[1], 'picture') or ''
local work = redis.call('HGET', KEYS[1], 'work') or '{}'
local own = string.find(work, '"model":"', 1, true)
if not string.find(picture, '"waits":{"', 1, true) then picture = own and ARGV[18] or ARGV[12] end
local lease_until = text(now + ARGV[3])
local token = redis.call('HINCRBY', KEYS[1], 'token', 1)
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('HSET', KEYS[1], 'state', 'running', 'worker', ARGV[2], 'lease', ARGV[13], 'lease_until', lease_until, 'picture', picture, 'nudge', 0,
  'resume_at', '', 'reason', '', 'by', '', 'why', 'taken up by a worker', 'since', text(now), 'pending', 1, 'schema', SCHEMA)
redis.call('HSET', KEYS[5], ARGV[1], 'running')
redis.call('ZREM', KEYS[2], ARGV[1])
notify(KEYS[1], KEYS[4], ARGV[4], ARGV[7], saying(ARGV[8], ',"token":' .. text(token)), ARGV[5], ARGV[6])
notify(KEYS[1], KEYS[4], ARGV[4], ARGV[9], state_payload(KEYS[1], own and ARGV[17] or ARGV[10], state, 'running', version), ARGV[5], ARGV[6])
local due = lease_until
local seen = redis.call('HMGET', KEYS[1], 'commands', 'handled', 'parent', 'name')
-- A child is looked at at once: a controller shows its parent's viewers that it is worked on.
if tonumber(seen[1] or 0) > tonumber(seen[2] or 0) or seen[3] then due = text(now) end
redis.call('ZADD', KEYS[3], due, ARGV[1])
return {'ok', token, version, redis.call('HGET', KEYS[1], 'epoch'), tonumber(redis.call('HGET', KEYS[1], 'parks') or 0), lease_until,
  seen[3] or '', seen[4] or '', picture, tonumber(redis.call('HGET', KEYS[1], 'parked_ms') or 0), work}
