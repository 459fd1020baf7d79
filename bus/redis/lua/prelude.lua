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

-- The schema of records that these scripts write (bus/schema.py has the same).
local SCHEMA = 2

-- Whether a record was written by a newer Tidings, so that nothing of it may be touched.
local function newer(record)
  local schema = tonumber(redis.call('HGET', record, 'schema') or 1)
  return schema ~= nil and schema > SCHEMA
end

-- Whether a field holds a count that Redis can add to; one that is not there counts as 0.
local function countable(value)
  return not value or (#value < 19 and string.match(value, '^%d+$') ~= nil)
end

-- Take the next offset of a plane, append the message under it and publish the same bytes.
-- payload is one JSON object without offset and epoch; both are written in before its last brace.
local function store(record, log, channel, plane, id, payload)
  local offset = redis.call('HINCRBY', record, plane, 1)
  local epoch = redis.call('HGET', record, 'epoch')
  local message = string.sub(payload, 1, -2) .. ',"offset":' .. text(offset) .. ',"epoch":"' .. epoch .. '"}'
  redis.call('XADD', log, text(offset) .. '-0', 'id', id, 'm', message)
  redis.call('PUBLISH', channel, message)
  return offset, message
end

-- Store a notice: the ring behind the status plane is short and expires; the newest notice stays in the record.
local function notify(record, ring, channel, id, payload, length, ttl_ms)
  local offset, message = store(record, ring, channel, 'status', id, payload)
  redis.call('XTRIM', ring, 'MAXLEN', length)
  redis.call('PEXPIRE', ring, ttl_ms)
  redis.call('HSET', record, 'last', message)
  return offset
end

-- A word as JSON, null for none and for what would need escapes. States, session ids and names of children need none.
local function quoted(word)
  if word and string.match(word, '^[%w_-]+$') then return '"' .. word .. '"' end
  return 'null'
end

-- The payload of a session.state notice. head ends with `"data":{`, tail goes on with `"why":`; what lies between is known only here.
local function state_payload(record, head, from, to, version, tail)
  local kin = redis.call('HMGET', record, 'parent', 'name')
  return head .. '"from":' .. quoted(from) .. ',"to":"' .. to .. '","version":' .. text(version)
    .. ',"parent":' .. quoted(kin[1]) .. ',"name":' .. quoted(kin[2]) .. ',' .. tail
end
