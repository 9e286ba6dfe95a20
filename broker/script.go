package broker

import (
	"bytes"

	"github.com/redis/go-redis/v9"
)

// History keeps these keys in Redis for a channel whose Redis name is NAME (see
// Redis.RedisName). Channel names contain no space, so that none of these keys belongs to
// another channel.
//
//	NAME          a stream: entries 0-<offset>, contiguous, each with the fields
//	              time     when it was appended, Unix milliseconds of Redis's clock
//	              message  an envelope without a position
//	NAME meta     a hash, from the first message on:
//	              epoch    the channel's epoch
//	              top      the offset of the newest message, even if that is gone
//	              ttl      how long messages are kept, in milliseconds; 0 for ever
//	              era      the era in which the epoch began
//	              former   the last position of the previous epoch, as a cursor
//	NAME key KEY  the cursor of the message with this idempotency key, kept for
//	              IdempotencyWindow
//	FAMILY history  a hash for all channels whose names begin with FAMILY, which ends
//	              with the first colon, or in a Cluster with the hash tag and a
//	              colon
//	              era      the current era
//	              line     the Redis process that holds the data (see mastership), or ""
//	              since    when the era began, Unix milliseconds of Redis's clock
//
// The stream expires as a whole with its newest message. The meta hash outlives it by at
// least a day, so that cursors stay valid. Reading creates no key.
//
// An era is a time in which Redis has lost no data. It ends when Redis may have lost some:
// when another process holds the data, be it after a restart or as a promoted replica; when
// the same process has followed another master in between (see mastership); when a node has
// doubts (see trust); and when all data is flushed. It does not end if a node has seen one
// master hand the keys over to another (see cluster.gave). An epoch belongs to one era: the
// first access to a channel in a new era begins a new epoch, so that a cursor of the old
// one is known to have lost messages. What is left in the stream keeps its offsets, and a
// client that had reached them in the former epoch is not given them again.
//
// A channel without a meta hash has had no message since the era began, or none for a day.
// Its position is an unborn one, which needs no key: see unborn.go. The first message begins
// an epoch and stores the unborn position as the former one: a cursor from before the first
// message has lost nothing.
const (
	metaSuffix = " meta"
	eraSuffix  = " history"
)

// AppendScript publishes one message and appends it to the history of the channel, in one
// atomic step. Backends may use it; gateways run it, too. For a channel that
// "tidegate channel NAME" prints as tidegate:chat:lobby:
//
//	redis-cli EVAL "$(tidegate script)" 2 tidegate:chat:lobby "tidegate:chat:lobby meta" '{"text":"hi"}' 100 600000
//
// KEYS are the channel's name, the name followed by " meta" and, if the message has an
// idempotency key, the name followed by " key " and the key.
//
//	ARGV[1]  the payload
//	ARGV[2]  how many messages the history keeps; 0 keeps none
//	ARGV[3]  for how long, in milliseconds; 0 means as long as ARGV[2] allows
//	ARGV[4]  the header of the envelope, without a position; {} if missing.
//	         If it is empty and there is no history, the payload is published
//	         bare, unless it could pass for an envelope
//	ARGV[5]  PUBLISH, or SPUBLISH in a Cluster; PUBLISH if missing
//
// The script returns the cursor of the message, or "" without history. If the key was used
// within the last 5 minutes, it publishes nothing and returns the cursor of the first
// message.
//
// Gateways pass the key of the era as the third one, before the idempotency key, because
// Redis must know the keys of a script. They also pass what they vouch for (see voucher) in
// ARGV[6] to ARGV[9], and the script then returns the era behind the cursor. For a backend,
// which does not know all this, the script asks Redis itself. With ARGV[10] it writes again
// an idempotency key that was used before, because WAIT only waits for what its own
// connection has written.
const AppendScript = eraLua + `
local name, meta, key = KEYS[1], KEYS[2], KEYS[3]
local payload, size, ttl = ARGV[1], tonumber(ARGV[2] or 0), tonumber(ARGV[3] or 0)
local header, publish = ARGV[4] or '{}', ARGV[5] or 'PUBLISH'
local era, told = nil, ''
if ARGV[6] then
  vouch(6)
  era, key = KEYS[3], KEYS[4]
elseif publish == 'SPUBLISH' then
  era = string.match(name, '^[^{]*{[^}]*}:') .. ' history'
else
  era = (string.match(name, '^[^:]*:') or '') .. ' history'
end

-- marked returns a header with the mark of this process: see markOf. Who may not ask
-- which one it is goes by what the gateways have noted.
local function marked(header)
  if not CLAIM then vouchAlone() end
  local run = split(CLAIM ~= '' and CLAIM or redis.call('HGET', era, 'line') or '')
  if not run or run == '' then return header end
  return '{"mark":"' .. string.sub(redis.sha1hex('tidegate mark ' .. run), 1, 16) .. '"' ..
    (header == '{}' and '' or ',') .. string.sub(header, 2)
end

if key then
  local first = redis.call('GET', key)
  if first then
    if ARGV[10] then redis.call('PEXPIRE', key, math.max(1, redis.call('PTTL', key))) end
    return first
  end
end

local cursor = ''
if size > 0 then
  if string.sub(header, -1) ~= '}' then header = '{}' end
  if not CLAIM then vouchAlone() end
  local now = eraOf(era)
  local channel = find(meta, now) or bear(name, meta, now)
  local offset = number(channel.top + 1)
  redis.call('XADD', name, 'MAXLEN', size, '0-' .. offset,
    'time', number(milliseconds()), 'message', 'TG1 ' .. header .. '\n' .. payload)
  redis.call('HSET', meta, 'top', offset, 'ttl', ttl)
  if ttl > 0 then
    if ARGV[6] and channel.top % STEP == 0 then expire(name, {ttl = ttl, top = channel.top}) end -- a backend may lack the rights
    redis.call('PEXPIRE', name, ttl)
    if redis.call('PTTL', meta) < ttl + DAY then redis.call('PEXPIRE', meta, number(ttl + 1.5 * DAY)) end
  else
    redis.call('PERSIST', name)
    redis.call('PERSIST', meta)
  end
  cursor = channel.epoch .. ':' .. offset
  header = string.sub(header, 1, -2) .. (header == '{}' and '' or ',') ..
    '"epoch":"' .. channel.epoch .. '","offset":' .. offset .. '}'
  if ARGV[6] then told = ' ' .. now.id end
end
if key then redis.call('SET', key, cursor, 'PX', 300000) end
if header == '' and string.sub(payload, 1, 4) == 'TG1 ' then header = '{}' end
if header ~= '' then payload = 'TG1 ' .. marked(header) .. '\n' .. payload end
redis.call(publish, name, payload)
return cursor .. told
`

// pageScript reads history. KEYS are the channel's name, its meta hash and its era. ARGV
// are "since" or "latest"; the epoch and the offset to read after; how many messages and
// bytes to return at most, 0 for no limit; and what the node vouches for. The script
// returns the cursor of the top; that of the former epoch, or ""; the era, or "" if there
// is none yet; and the entries, oldest first for since, newest first for latest.
var pageScript = redis.NewScript(eraLua + `
local name, meta = KEYS[1], KEYS[2]
local mode, after, count, bytes = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
vouch(6)
local era = eraOf(KEYS[3])
local channel = find(meta, era)
if not channel then return {unborn(era), '', era.kept and era.id or '', {}} end
renew(meta, channel.ttl)
expire(name, channel)

-- take returns the first entries that a command finds, within the bounds. It
-- reads in steps, the first a short one: what it reads in vain is no more than one
-- of them.
local function take(command, from, to)
  local taken, size = {}, 0
  while true do
    local step = #taken == 0 and STEP or 4 * STEP
    if count > 0 then step = math.min(step, count - #taken) end
    local entries = redis.call(command, name, from, to, 'COUNT', step)
    for _, entry in ipairs(entries) do
      size = size + #entry[2][4]
      if bytes > 0 and size > bytes and #taken > 0 then return taken end
      taken[#taken + 1] = entry
    end
    if #entries < step or #taken == count then return taken end
    from = '(' .. entries[step][1]
  end
end

local cursor = channel.epoch .. ':' .. number(channel.top)
if mode == 'latest' then
  return {cursor, channel.former, era.id, take('XREVRANGE', '+', '-')}
end
if ARGV[2] ~= channel.epoch then
  local left, last = string.match(channel.former, '(%w+):(%d+)')
  after = ARGV[2] == left and math.min(after, tonumber(last)) or 0
elseif after > channel.top then
  after = 0
end
return {cursor, channel.former, era.id, take('XRANGE', '(0-' .. number(after), '+')}
`)

// topsScript returns for each channel the cursor of its top, that of the former epoch or
// "", and the era or "". KEYS are the name, the meta hash and the era of each channel; ARGV
// are what the node vouches for.
var topsScript = redis.NewScript(eraLua + `
vouch(1)
local tops = {}
for i = 1, #KEYS, 3 do
  local era = eraOf(KEYS[i + 2])
  local channel = find(KEYS[i + 1], era)
  if channel then renew(KEYS[i + 1], channel.ttl) end
  tops[#tops + 1] = channel and channel.epoch .. ':' .. number(channel.top) or unborn(era)
  tops[#tops + 1] = channel and channel.former or ''
  tops[#tops + 1] = era.kept and era.id or ''
end
return tops
`)

// epochLua is the code that all scripts share.
const epochLua = `
local function number(n) return string.format('%.0f', n) end

local function microseconds()
  local now = redis.call('TIME')
  return now[1] * 1000000 + now[2]
end

local function milliseconds() return math.floor(microseconds() / 1000) end

local function base36(n)
  local digits = ''
  while n > 0 do
    local digit = n % 36
    digits = string.sub('0123456789abcdefghijklmnopqrstuvwxyz', digit + 1, digit + 1) .. digits
    n = (n - digit) / 36
  end
  return digits
end

-- An epoch is the microsecond in which it began, in base 36.
local function newEpoch() return base36(microseconds()) end

-- currentLine returns the run_id of this Redis process, or "" if it does not tell.
local line
local function currentLine()
  if not line then
    local info = redis.pcall('INFO', 'server')
    line = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''
  end
  return line
end
`

// eraLua is the code that the scripts of history share.
const eraLua = epochLua + `
local DAY, HOUR = 86400000, 3600000
local STEP = 16 -- entries that are read at once: each may be long
local CLAIM, DOUBT, FRESH, FROM

-- vouch takes four arguments: what this process says of itself (see mastership), or ""
-- where it cannot be asked; how long ago the node was sure last, in milliseconds, if it
-- has doubts; the era that begins if there is none; and what the master says of itself
-- that has given its keys to this one, if one has.
local function vouch(i) CLAIM, DOUBT, FRESH, FROM = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 3] end

local function vouchAlone()
  local function told(section, name)
    local said = redis.pcall('INFO', section)
    return type(said) == 'string' and string.match(said, name .. ':(%w+)') or ''
  end
  CLAIM, FRESH, FROM = currentLine(), 'f' .. string.sub(currentLine(), 1, 10), ''
  if CLAIM ~= '' then
    CLAIM = CLAIM .. '-' .. told('replication', 'master_replid') .. '-' .. told('stats', 'total_net_repl_input_bytes') ..
      '-' .. string.gsub(told('replication', 'master_replid2'), '^0+$', '')
  end
end

-- split returns the run_id, the replication id, what was received as a replica, and the
-- replication id before, which a line lacks.
local function split(claim) return string.match(claim, '^(%w*)%-?(%w*)%-?(%w*)%-?(%w*)$') end

-- lineOf returns what is kept of a claim.
local function lineOf(claim) return (string.gsub(claim, '%-%w*$', '')) end

-- continues reports whether who claims that has been a master since it was one with that
-- line: see mastership.
local function continues(claim, line)
  local run, id, received, before = split(claim)
  local knownRun, known, knownReceived = split(line)
  if run ~= knownRun then return false end
  if id == known or known == '' then return true end
  return received == knownReceived and (before == known or before == '' and received ~= '')
end

-- isNewer reports whether a claim that continues a line is sure to be the later one: a
-- connection may have asked long ago.
local function isNewer(claim, line)
  local _, id, _, before = split(claim)
  local _, known = split(line)
  return id ~= known and (known == '' or before == known)
end

local function keep(era)
  if era.kept then return end
  redis.call('HSET', era.key, 'era', era.id, 'line', lineOf(CLAIM), 'since', number(milliseconds())) -- first: a full Redis refuses here
  era.kept = true
end

-- eraOf returns the present era. One that is to come is not kept yet.
local eras = {}
local function eraOf(key)
  if eras[key] then return eras[key] end
  local known = redis.call('HMGET', key, 'era', 'line', 'since')
  local era = {key = key, id = known[1] or FRESH, kept = known[1] and true or false}
  eras[key] = era
  if not known[1] then return era end
  local line = known[2]
  local stays = CLAIM == '' or line == '' or continues(CLAIM, line)
  local given = not stays and FROM ~= '' and continues(FROM, line)
  local age = milliseconds() - tonumber(known[3]) -- less than nothing: the clock went back
  if not stays and not given or DOUBT and (age > DOUBT or age < 0) then
    era.id, era.kept = newEpoch(), false
    keep(era)
  elseif CLAIM ~= '' and (given or isNewer(CLAIM, line)) then
    redis.call('HSET', key, 'line', lineOf(CLAIM))
  end
  return era
end

-- unborn returns the position of nothing.
local function unborn(era)
  local stamp = base36(math.floor(milliseconds() / HOUR))
  return '0' .. string.rep('0', 5 - #stamp) .. stamp .. era.id .. ':0'
end

-- find returns a channel that has had messages, or nil. Its epoch is of the era.
local function find(meta, era)
  local known = redis.call('HMGET', meta, 'epoch', 'top', 'ttl', 'former', 'era')
  if not known[1] then return nil end
  local channel = {epoch = known[1], top = tonumber(known[2] or 0), ttl = tonumber(known[3] or 0), former = known[4] or ''}
  if known[5] ~= era.id then
    keep(era)
    channel.former, channel.epoch = channel.epoch .. ':' .. number(channel.top), newEpoch()
    redis.call('HSET', meta, 'epoch', channel.epoch, 'era', era.id, 'former', channel.former)
  end
  return channel
end

-- bear begins the first epoch of a channel. If it has a stream its meta hash is lost.
local function bear(name, meta, era)
  keep(era)
  local channel = {epoch = newEpoch(), top = 0}
  local former = redis.call('EXISTS', name) == 1 and '' or unborn(era)
  redis.call('HSET', meta, 'epoch', channel.epoch, 'era', era.id, 'former', former)
  redis.call('DEL', name)
  return channel
end

-- renew keeps the epoch of a quiet channel that is asked for.
local function renew(meta, ttl)
  local left = redis.call('PTTL', meta)
  if left >= 0 and left < DAY then redis.call('PEXPIRE', meta, number(ttl + 1.5 * DAY)) end
end

-- expire removes the messages that are older than ttl. As they are in the order of their
-- age, it looks for the last of them by halves.
local function expire(name, channel)
  if channel.ttl == 0 then return end
  local oldest = milliseconds() - channel.ttl
  local function oldAt(from) -- returns the offset of the first message from there on, if that is old
    local entry = redis.call('XRANGE', name, from, '+', 'COUNT', 1)[1]
    return entry and tonumber(entry[2][2]) <= oldest and tonumber(string.match(entry[1], '%d+$'))
  end
  local low, high = oldAt('-'), channel.top
  if not low then return end
  while low < high do
    local middle = math.ceil((low + high) / 2)
    if oldAt('0-' .. number(middle)) then low = middle else high = middle - 1 end
  end
  redis.call('XTRIM', name, 'MINID', '0-' .. number(low + 1))
end
`

// appendEraKey appends the key of the era of the channel with the given Redis name. The append
// script computes the same.
func appendEraKey(dst, name []byte, clustered bool) []byte {
	end := bytes.IndexByte(name, ':') + 1
	if clustered {
		end = bytes.Index(name, []byte("}:")) + 2
	}
	return append(append(dst, name[:end]...), eraSuffix...)
}
