-- decide.lua: what a controller decided about one session, all of it or nothing.
-- KEYS: 1 record  2 log of events  3 ring of status  4 log of commands  5 ready  6 due  7 sessions  then the outcome of each handled command
--       of a child that is to be shown, further: record of its parent, ring of the status there, children of the parent
--       of a session that moves to another queue, at the end: the ready of the one that it leaves
-- ARGV: 1 session  2 version, 3 handled offset and 4 touched count on which the decision rests
--       5 handled offset after it  6 new state, '' when it stays  7 '1' to raise the token (revoke)  8 '1' to put it into ready
--       9 next due time in ms, '' for none  10 events channel  11 status channel  12 channel that wakes workers  13 channel of outcomes
--       14 length of the ring  15 life of the ring in ms  16 life of an outcome in ms  17 id, 18 payload of session.state
--       without what state_payload adds, '' for none  19 epoch, 20 state and 21 random part of the lease on which the decision rests
--       22 n, then n times field, value of the record
--       n, then n times id, payload of events
--       n, then n times id, payload of notices
--       n, then n times outcome as JSON, expiry of its command in ms ('' for none)
--       0 | 1, then id and payload of child.state, status channel of the parent, what is known of the child as JSON
-- Returns {'ok', version}, or that nothing was written: {'stale'} the record or a command is not what the decision rests on
--   | {'schema', number} the record was written with another schema
--   | {'unreadable'} a count in the record is none | {'spoiled'} the log of events is not what the record says
-- The state 'deleted' takes the logs and all of the record but a tombstone away.
local wrong = misplaced('stream', KEYS[4]) or misplaced('zset', KEYS[5], KEYS[6]) or misplaced('hash', KEYS[7])
if wrong then return wrong end
local other = other_schema(KEYS[1])
if other then return other end
local held = redis.call('HMGET', KEYS[1], 'version', 'handled', 'touched', 'state', 'epoch', 'lease')
if (held[1] or '0') ~= ARGV[2] or (held[2] or '0') ~= ARGV[3] or (held[5] or '') ~= ARGV[19] then return {'stale'} end
-- A server that has lost its last writes gives a version a second time.
if (held[4] or '') ~= ARGV[20] or (held[6] or '') ~= ARGV[21] then return {'stale'} end
local now = now_ms()

local at = 22
local function pairs_at()
  local count = tonumber(ARGV[at])
  local list = {}
  for index = at + 1, at + 2 * count, 2 do list[#list + 1] = {ARGV[index], ARGV[index + 1]} end
  at = at + 1 + 2 * count
  return list
end
local fields, messages, notices, outcomes = pairs_at(), pairs_at(), pairs_at(), pairs_at()
local child = tonumber(ARGV[at]) == 1 and {ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]}
local lost = child and misplaced('hash', KEYS[10 + #outcomes])
if lost then return lost end
local over = child and redis.call('HGET', KEYS[8 + #outcomes], 'state') or 'gone'
local born = child and not held[4] and ARGV[6] ~= ''
local aloof = child and unfit(KEYS[8 + #outcomes], 'status', 'children')
-- The version that wrote the parent must know of each of its children: the start is left to that one.
if born and aloof and aloof[1] == 'schema' then return {'stale'} end
-- In one step with the look at the parent: a stop of that either finds this child among its children, or the child is refused.
if born and (over == 'gone' or over == 'stopped' or over == 'finished' or over == 'deleted') then return {'stale'} end

for index, outcome in ipairs(outcomes) do
  if redis.call('EXISTS', KEYS[7 + index]) == 1 then return {'stale'} end
  if outcome[2] ~= '' and now > tonumber(outcome[2]) then return {'stale'} end
end

local counts = ARGV[6] ~= '' or ARGV[7] == '1' or #messages + #notices > 0
local unable = counts and unfit(KEYS[1], 'token', 'version', 'status', 'events')
if unable then return unable end
local deleted = ARGV[6] == 'deleted'

-- The events come first: they are all that can still be refused, and the ring of status cannot.
for _, message in ipairs(messages) do
  local offset = store(KEYS[1], KEYS[2], ARGV[10], 'events', message[1], message[2])
  if not offset then return {'spoiled'} end
  redis.call('HSET', KEYS[1], 'said', text(offset))
end
for _, field in ipairs(fields) do redis.call('HSET', KEYS[1], field[1], field[2]) end
for _, notice in ipairs(notices) do
  notify(KEYS[1], KEYS[3], ARGV[11], notice[1], notice[2], ARGV[14], ARGV[15])
end

local version = tonumber(held[1] or 0) or 0
if ARGV[7] == '1' then redis.call('HINCRBY', KEYS[1], 'token', 1) end
if ARGV[6] ~= '' then
  version = redis.call('HINCRBY', KEYS[1], 'version', 1)
  if not held[4] then redis.call('PERSIST', KEYS[1]) redis.call('PERSIST', KEYS[4]) end
  -- What is taken from its worker enters its state anew, be it called as before: parked for what the worker waited for.
  if held[4] ~= ARGV[6] or ARGV[7] == '1' then redis.call('HSET', KEYS[1], 'since', text(now)) end
  redis.call('HSET', KEYS[1], 'state', ARGV[6], 'schema', SCHEMA)
  redis.call('HSET', KEYS[7], ARGV[1], ARGV[6])
end
if ARGV[17] ~= '' then
  notify(KEYS[1], KEYS[3], ARGV[11], ARGV[17], state_payload(KEYS[1], ARGV[18], held[4], ARGV[6], version), ARGV[14], ARGV[15])
end
-- Beside a tombstone children are kept in mind until all of them are over; then their hash goes, and is not made again.
if child and over ~= 'gone' and (over ~= 'deleted' or redis.call('EXISTS', KEYS[10 + #outcomes]) == 1) then
  if born and not aloof then redis.call('HINCRBY', KEYS[8 + #outcomes], 'children', 1) end
  redis.call('HSET', KEYS[10 + #outcomes], ARGV[1], child[4])
end
if child and not aloof and over ~= 'gone' and over ~= 'deleted' then
  notify(KEYS[8 + #outcomes], KEYS[9 + #outcomes], child[3], child[1], child[2], ARGV[14], ARGV[15])
end

redis.call('HSET', KEYS[1], 'handled', ARGV[5])
redis.call('XTRIM', KEYS[4], 'MINID', text(tonumber(ARGV[5]) + 1))
if redis.call('XLEN', KEYS[4]) == 0 then redis.call('DEL', KEYS[4]) end
for index, outcome in ipairs(outcomes) do
  redis.call('SET', KEYS[7 + index], outcome[1], 'PX', ARGV[16])
  redis.call('PUBLISH', ARGV[13], outcome[1])
end

if deleted then bury(ARGV[1], KEYS[1], KEYS[2], KEYS[3], KEYS[7], ARGV[10]) end

local left = 8 + #outcomes + (child and 3 or 0)
if KEYS[left] then redis.call('ZREM', KEYS[left], ARGV[1]) end
if ARGV[8] == '1' then
  -- A session that is queued already keeps its place.
  if redis.call('ZADD', KEYS[5], 'NX', text(now), ARGV[1]) == 1 then redis.call('PUBLISH', ARGV[12], ARGV[1]) end
elseif ARGV[6] ~= '' and ARGV[6] ~= 'queued' then
  redis.call('ZREM', KEYS[5], ARGV[1])
end
-- Something came while the controller was deciding: look again at once.
if (held[3] or '0') ~= ARGV[4] then
  redis.call('ZADD', KEYS[6], text(now), ARGV[1])
elseif ARGV[9] ~= '' then
  redis.call('ZADD', KEYS[6], ARGV[9], ARGV[1])
else
  redis.call('ZREM', KEYS[6], ARGV[1])
end
return {'ok', version}
