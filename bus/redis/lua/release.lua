-- release.lua: a worker lets a session go; the token is raised, so nothing that it still has in flight can land.
-- KEYS: 1 record  2 ready  3 due  4 ring of the status plane  5 sessions
-- ARGV: 1 session  2 fencing token  3 random part of the lease  4 epoch  5 state that the release leads to
--       6 offset up to which the worker has read the events  7 resume time in ms, '' for none  8 parks in a row  9 picture as JSON
--       10 reason, '' for none  11 why  12 status channel  13 length of the ring  14 life of the ring in ms
--       15 channel that wakes workers  16 id, 17 payload of session.state, without what state_payload adds
--       18 payload to use when a person spoke meanwhile and the session is queued again  19 children that the agent waits for
--       20 picture to use then  21 parked without a known instant, in ms  22 queue and 23 agent ('' for none) of KEYS 2
--       then id, payload for each further notice
-- Returns {'ok', state, version} | {'moved', queue, agent}: it is of another queue by now | {'stale'}: it is not held so, or its events end before what was read | {'schema', number} | {'unreadable'}
local wrong = misplaced('zset', KEYS[2], KEYS[3]) or misplaced('hash', KEYS[5])
if wrong then return wrong end
local unable = unfit(KEYS[1], 'token', 'version', 'status', 'said', 'commands', 'handled', 'children')
if unable then return unable end
local held = redis.call('HMGET', KEYS[1], 'lease', 'released', 'state', 'said', 'commands', 'handled', 'version', 'parent', 'children',
  'events', 'failures')
if not holds(KEYS[1], ARGV[2], ARGV[3], ARGV[4]) then
  if held[1] == ARGV[3] and held[2] == ARGV[3] then return {'ok', held[3], tonumber(held[7])} end
  return {'stale'}
end
local other = elsewhere(KEYS[1], ARGV[22], ARGV[23])
if other then return other end
-- The server has lost what the worker has read: what is said under those offsets is not read. 2^53 - 1 is all that there is.
local read, last = tonumber(ARGV[6]), countable(held[10]) and tonumber(held[10] or 0) or math.huge
if read < 2 ^ 53 - 1 and read > last then return {'stale'} end
local now, to, told, why = now_ms(), ARGV[5], ARGV[17], ARGV[11]
local unread = tonumber(held[4] or 0) > read
local picture = ARGV[9]
if unread and (to == 'awaiting_input' or to == 'finished' or to == 'error') then
  to, told, why, picture = 'queued', ARGV[18], 'something was said while the run was closing', ARGV[20]
end
for index = 24, #ARGV, 2 do
  notify(KEYS[1], KEYS[4], ARGV[12], ARGV[index], ARGV[index + 1], ARGV[13], ARGV[14])
end
redis.call('HINCRBY', KEYS[1], 'token', 1)
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
local idle = to == 'awaiting_input' or to == 'finished'
local parked = to == 'rate_limited' or to == 'retrying'
redis.call('HSET', KEYS[1], 'state', to, 'worker', '', 'lease_until', '', 'released', ARGV[3], 'pending', idle and 0 or 1,
  'resume_at', parked and ARGV[7] or '', 'parks', ARGV[8], 'parked_ms', ARGV[21], 'losses', 0, 'picture', picture,
  'reason', to == 'queued' and '' or ARGV[10], 'why', why, 'by', '', 'since', text(now),
  'awaits', ARGV[19], 'schema', SCHEMA)
redis.call('HSET', KEYS[5], ARGV[1], to)
notify(KEYS[1], KEYS[4], ARGV[12], ARGV[16], state_payload(KEYS[1], told, held[3], to, version), ARGV[13], ARGV[14])
if to == 'queued' then
  redis.call('ZADD', KEYS[2], text(now), ARGV[1])
  redis.call('PUBLISH', ARGV[15], ARGV[1])
end
-- What a controller must do at once: handle commands, tell a parent of its child, stop the children of what is over, end a quarantine.
local parents = held[8] or (to == 'finished' and tonumber(held[9] or 0) > 0)
if parents or quarantined(held[11]) or tonumber(held[5] or 0) > tonumber(held[6] or 0) then
  redis.call('ZADD', KEYS[3], text(now), ARGV[1])
elseif parked and ARGV[7] ~= '' then
  redis.call('ZADD', KEYS[3], ARGV[7], ARGV[1])
else
  redis.call('ZREM', KEYS[3], ARGV[1])
end
return {'ok', to, version}
