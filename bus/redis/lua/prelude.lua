-- prelude.lua: put before every other script. Server time, and the one way in which a message is stored.

-- Server time in whole milliseconds since 1970.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A whole number as text; Lua's own tostring turns large ones into 1e+15.
local function text(number)
  return string.format('%.0f', number)
end

-- The schema of records that these scripts read and write (bus/records.py has the same).
local SCHEMA = 5

-- Whether a record was written with another schema, so that nothing of it may be touched, as the answer of a script; nil where not.
-- What is no number is no schema: such a record cannot be read.
local function mismatch(schema)
  if schema and schema ~= text(SCHEMA) and string.match(schema, '^[1-9]%d*$') and #schema < 10 then return {'schema', schema} end
end

-- The same, of a record.
local function other_schema(record)
  return mismatch(redis.call('HGET', record, 'schema'))
end

-- Whether a writer holds the session: token, random part of the lease and epoch are those of the record. The number alone does not tell:
-- a server that has lost its last writes gives one a second time.
local function holds(record, token, lease, epoch)
  local held = redis.call('HMGET', record, 'token', 'lease', 'epoch')
  return held[1] == token and held[2] == lease and held[3] == epoch
end

-- Whether a field holds a count (bus/records.py has the same rule); one that is not there counts as 0. Beyond
-- 2^53 neither Lua nor readers of JSON hold every number.
local function countable(value)
  return not value or (#value < 17 and string.match(value, '^%d+$') ~= nil and tonumber(value) < 2 ^ 53)
end

-- Whether a session is in quarantine (quarantine.lua), by the field of its record that counts that.
local function quarantined(failures)
  return failures and failures ~= '0'
end

-- Whether this is an epoch, which is put into JSON as it is (bus/records.py has the same rule).
local function is_epoch(value)
  return #value <= 64 and string.match(value, '^[%w_-]+$') ~= nil
end

-- The error for keys that hold another type of value than is kept there; nil where none does. To be asked before the first write of a
-- script that works on several keys: Redis does not roll a script back.
local function misplaced(kind, ...)
  for _, key in ipairs({...}) do
    local found = redis.call('TYPE', key).ok
    if found ~= kind and found ~= 'none' then return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. found) end
  end
end

-- Why a record must not be added to, as the answer of a script; nil where it may be: another schema wrote it, it has a state and no
-- schema that is one, or no epoch, or one of the counts named is none. To be asked before the first write: Redis does not roll a script back.
local function unfit(record, ...)
  local held = redis.call('HMGET', record, 'schema', 'state', 'epoch', ...)
  local other = mismatch(held[1])
  if other then return other end
  if held[2] and (held[1] ~= text(SCHEMA) or not held[3]) then return {'unreadable'} end
  for index = 4, #held do
    if not countable(held[index]) then return {'unreadable'} end
  end
  if held[3] and not is_epoch(held[3]) then return {'unreadable'} end
end

-- Take the next offset of a plane, append the message under it and publish the same bytes.
-- payload is one JSON object without offset and epoch; both are written in before its last brace.
-- Returns false, and has written nothing, where the log does not take that offset: something else wrote into it, or under its name.
-- The append comes before all other writes, so it is the check; any other failure of it fails the script.
local function store(record, log, channel, plane, id, payload)
  local held = redis.call('HMGET', record, plane, 'epoch')
  if not countable(held[1]) or not held[2] then return false end
  local offset = tonumber(held[1] or 0) + 1
  local message = string.sub(payload, 1, -2) .. ',"offset":' .. text(offset) .. ',"epoch":"' .. held[2] .. '"}'
  local added = redis.pcall('XADD', log, text(offset) .. '-0', 'id', id, 'm', message)
  if type(added) == 'table' and added.err then
    for _, words in ipairs({'equal or smaller', 'exhausted', 'WRONGTYPE'}) do
      if string.find(tostring(added.err), words, 1, true) then return false end
    end
    redis.call('XADD', log, text(offset) .. '-0', 'id', id, 'm', message)
  end
  redis.call('HINCRBY', record, plane, 1)
  redis.call('PUBLISH', channel, message)
  return offset, message, held[2]
end

-- Take a log away, as every writer of it may (not every role has the right to DEL). fakeredis keeps it for the rest of the
-- millisecond if it is to expire now.
local function drop(log)
  redis.call('PEXPIRE', log, -1)
end

-- Store a notice: the ring behind the status plane is short and expires; the newest notice stays in the record. Returns offset and epoch.
local function notify(record, ring, channel, id, payload, length, ttl_ms)
  local offset, message, epoch = store(record, ring, channel, 'status', id, payload)
  if not offset then
    -- It holds the news of an hour and nothing that must be kept; readers are told of the hole.
    drop(ring)
    offset, message, epoch = store(record, ring, channel, 'status', id, payload)
  end
  redis.call('XTRIM', ring, 'MAXLEN', length)
  redis.call('PEXPIRE', ring, ttl_ms)
  redis.call('HSET', record, 'last', message)
  return offset, epoch
end

-- Where a session is queued, as the answer of a script, when that is not the queue and the agent ('' for none) that its caller knows.
local function elsewhere(record, queue, agent)
  local held = redis.call('HMGET', record, 'queue', 'agent')
  local found, who = held[1] or 'default', held[2] or ''
  if found ~= queue or who ~= agent then return {'moved', found, who} end
end

-- A word as JSON, null for none and for what would need escapes. States, session ids and names of children need none.
local function quoted(word)
  if word and string.match(word, '^[%w_-]+$') then return '"' .. word .. '"' end
  return 'null'
end

-- A notice with further members of what it says, which are known only here; they come last, as offset and epoch do.
local function saying(payload, members)
  return string.sub(payload, 1, -3) .. members .. '}}'
end

-- A session.state with the members that are known only here.
local function state_payload(record, payload, from, to, version)
  local kin = redis.call('HMGET', record, 'parent', 'name')
  return saying(payload, ',"from":' .. quoted(from) .. ',"to":"' .. to .. '","version":' .. text(version)
    .. ',"parent":' .. quoted(kin[1]) .. ',"name":' .. quoted(kin[2]))
end

-- Take a session away but for a tombstone, which keeps its name from being used again and tells readers what became of it.
-- One by one: the rights of a controller are by key, and a command on several needs one rule for all of them.
local function bury(session, record, events, ring, sessions, channel)
  local kept = {'epoch', 'state', 'version', 'since', 'token', 'lease', 'status', 'events', 'commands', 'handled', 'touched', 'why', 'schema',
    'parent', 'name', 'children', 'shown', 'reported'}
  local tombstone = redis.call('HMGET', record, unpack(kept))
  redis.call('DEL', record)
  redis.call('DEL', events)
  redis.call('DEL', ring)
  for index, field in ipairs(kept) do
    if tombstone[index] then redis.call('HSET', record, field, tombstone[index]) end
  end
  redis.call('HDEL', sessions, session)
  local last = redis.call('HGET', record, 'events') or '0'
  -- Not a message: readers of the history look at the log because of it, and find the tombstone.
  redis.call('PUBLISH', channel, '{"gap":{"channel":"events.' .. session .. '","why":"deleted","first":' ..
    text(tonumber(last) + 1) .. ',"last":' .. last .. '}}')
end
