-- release.lua: a worker lets a session go; the token is raised, so nothing that it still has in flight can land.
-- KEYS: 1 record  2 ready  3 due  4 ring of the status plane  5 sessions
-- ARGV: 1 session  2 fencing token  3 state that the release leads to  4 offset up to which the worker has read the events
--       5 resume time in ms, '' for none  6 parks in a row  7 picture as JSON  8 reason, '' for none  9 why
--       10 status channel  11 length of the ring  12 life of the ring in ms  13 channel that wakes workers
--       14 id, 15 head, 16 tail of session.state  17 tail to use when somebody spoke meanwhile and the session is queued again
--       18 children that the agent waits for  19 picture without what is waited for or has failed  then id, payload for each further notice
-- Returns {'ok', state, version} | {'stale'} | {'newer'} | {'unreadable'}
local wrong = misplaced('zset', KEYS[2], KEYS[3]) or misplaced('hash', KEYS[5])
if wrong then return wrong end
local unable = unfit(KEYS[1], 'token', 'version', 'status', 'said', 'commands', 'handled', 'children')
if unable then return unable end
local held = redis.call('HMGET', KEYS[1], 'token', 'released', 'state', 'said', 'commands', 'handled', 'version', 'parent', 'children')
if held[1] ~= ARGV[2] then
  if held[2] == ARGV[2] then return {'ok', held[3], tonumber(held[7])} end
  return {'stale'}
end
local now, to, tail, why = now_ms(), ARGV[3], ARGV[16], ARGV[9]
local unread = tonumber(held[4] or 0) > tonumber(ARGV[4])
if unread and (to == 'awaiting_input' or to == 'finished' or to == 'error') then
  to, tail, why = 'queued', ARGV[17], 'somebody spoke while the run was closing'
end
for index = 20, #ARGV, 2 do
  notify(KEYS[1], KEYS[4], ARGV[10], ARGV[index], ARGV[index + 1], ARGV[11], ARGV[12])
end
redis.call('HINCRBY', KEYS[1], 'token', 1)
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
local idle = to == 'awaiting_input' or to == 'finished'
local parked = to == 'rate_limited'
local picture = (parked or to == 'error') and ARGV[7] or ARGV[19]
redis.call('HSET', KEYS[1], 'state', to, 'worker', '', 'lease_until', '', 'released', ARGV[2], 'pending', idle and 0 or 1,
  'resume_at', parked and ARGV[5] or '', 'parks', ARGV[6], 'losses', 0, 'picture', picture,
  'reason', to == 'queued' and '' or ARGV[8], 'why', why, 'by', '', 'since', text(now),
  'awaits', ARGV[18], 'schema', SCHEMA)
redis.call('HSET', KEYS[5], ARGV[1], to)
notify(KEYS[1], KEYS[4], ARGV[10], ARGV[14], state_payload(KEYS[1], ARGV[15], held[3], to, version, tail), ARGV[11], ARGV[12])
if to == 'queued' then
  redis.call('ZADD', KEYS[2], text(now), ARGV[1])
  redis.call('PUBLISH', ARGV[13], ARGV[1])
end
-- What a controller must do at once: handle commands, tell a parent of its child, stop the children of what is over.
local told = held[8] or (to == 'finished' and tonumber(held[9] or 0) > 0)
if told or tonumber(held[5] or 0) > tonumber(held[6] or 0) then
  redis.call('ZADD', KEYS[3], text(now), ARGV[1])
elseif parked and ARGV[5] ~= '' then
  redis.call('ZADD', KEYS[3], ARGV[5], ARGV[1])
else
  redis.call('ZREM', KEYS[3], ARGV[1])
end
return {'ok', to, version}
