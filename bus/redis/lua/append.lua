-- append.lua: the events of one step, all or none, by the worker that holds the session.
-- KEYS: 1 record  2 log of the events plane
-- ARGV: 1 fencing token  2 random part of the lease  3 epoch  4 channel  5 offset after which the caller's own messages can lie
--       then id, payload for each event
-- Returns {'ok', first offset} | {'stale'} | {'schema', number} | {'unreadable'} | {'spoiled'}: the log is not what the record says
-- The ids are looked for first: a batch that is sent again is stored once (the batch is one step, so its offsets follow each other).
local why = unfit(KEYS[1], 'events')
if why then return why end
if not holds(KEYS[1], ARGV[1], ARGV[2], ARGV[3]) then return {'stale'} end
-- The server has lost what its writer has read and kept the lease: what rests on that must not follow the rest.
if tonumber(ARGV[5]) > tonumber(redis.call('HGET', KEYS[1], 'events') or 0) then return {'stale'} end
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '(' .. ARGV[5] .. '-0', '+')) do
  if entry[2][2] == ARGV[6] then return {'ok', tonumber(string.match(entry[1], '^%d+'))} end
end
local first
for index = 6, #ARGV, 2 do
  local offset = store(KEYS[1], KEYS[2], ARGV[4], 'events', ARGV[index], ARGV[index + 1])
  if not offset then return {'spoiled'} end
  first = first or offset
end
return {'ok', first}
