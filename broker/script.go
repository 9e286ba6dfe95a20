package broker

// What history keeps in Redis, for a channel whose Redis name is NAME (see
// Redis.RedisName). No channel's name has a space in it, so that none of these
// is another channel's.
//
//	NAME          a stream: entries 0-<offset>, contiguous, each with the fields
//	              time     when it was appended, Unix milliseconds of Redis's clock
//	              message  an envelope without a position
//	NAME meta     a hash:
//	              epoch    the channel's epoch
//	              top      the offset of the newest message, kept or not
//	              ttl      how long messages are kept, in milliseconds; 0 for ever
//	              line     the master_replid of the Redis that wrote it last
//	              former   epoch and top when the epoch began, if messages were kept
//	NAME key KEY  the cursor that the message with this idempotency key got, for
//	              IdempotencyWindow
//
// The stream expires as a whole with its newest message. The meta hash outlives
// it by half a day at least, so that cursors stay good.
//
// A Redis that restarts or fails over may have forgotten its newest messages and
// would give their offsets to others. It then has another replication id: the
// epoch is a new one, and a cursor of the old one is known to be lost. What the
// stream still has is kept, under its offsets: who had come so far in the former
// epoch is not given it again.
const metaSuffix = " meta"

// AppendScript publishes one message and appends it to the channel's history, at
// once. It is for backends, and is what gateways run. For a channel that
// "tidegate channel NAME" prints as tidegate:chat:lobby:
//
//	redis-cli EVAL "$(tidegate script)" 2 tidegate:chat:lobby "tidegate:chat:lobby meta" '{"text":"hi"}' 100 600000
//
// KEYS are the channel's name, the same followed by " meta", and, if the message
// has an idempotency key, the same followed by " key " and the key.
//
//	ARGV[1]  the payload
//	ARGV[2]  how many messages the history keeps; 0 keeps none
//	ARGV[3]  for how long, in milliseconds; 0 as long as there is room
//	ARGV[4]  the envelope's header without a position; missing: {}.
//	         Empty, and without history: the payload is published bare
//	ARGV[5]  PUBLISH, or SPUBLISH in a Cluster; missing: PUBLISH
//
// It returns the message's cursor, or "" without history. If the key was seen
// within the last 5 minutes, nothing is published, and the first one's cursor is
// returned.
const AppendScript = epochLua + `
local name, meta, key = KEYS[1], KEYS[2], KEYS[3]
local payload, size, ttl = ARGV[1], tonumber(ARGV[2] or 0), tonumber(ARGV[3] or 0)
local header, publish = ARGV[4] or '{}', ARGV[5] or 'PUBLISH'

if key then
  local first = redis.call('GET', key)
  if first then return first end
end

local cursor = ''
if size > 0 then
  if string.sub(header, -1) ~= '}' then header = '{}' end
  local epoch, top = current(name, meta)
  local offset = number(top + 1)
  redis.call('XADD', name, 'MAXLEN', size, '0-' .. offset,
    'time', number(milliseconds()), 'message', 'TG1 ' .. header .. '\n' .. payload)
  redis.call('HSET', meta, 'top', offset, 'ttl', ttl)
  if ttl > 0 then
    redis.call('PEXPIRE', name, ttl)
    if redis.call('PTTL', meta) < ttl + DAY / 2 then redis.call('PEXPIRE', meta, ttl + DAY) end
  else
    redis.call('PERSIST', name)
    redis.call('PERSIST', meta)
  end
  cursor = epoch .. ':' .. offset
  header = string.sub(header, 1, -2) .. (header == '{}' and '' or ',') ..
    '"epoch":"' .. epoch .. '","offset":' .. offset .. '}'
end
if key then redis.call('SET', key, cursor, 'PX', 300000) end
if header ~= '' then payload = 'TG1 ' .. header .. '\n' .. payload end
redis.call(publish, name, payload)
return cursor
`

// pageScript reads history. ARGV are since or latest, then the epoch and offset
// to begin after, and how many messages and bytes to return at most, 0 for any.
// It returns the cursors of the top and of the former epoch's, or "", and the
// entries: oldest first for since, newest first for latest.
const pageScript = epochLua + `
local name, meta = KEYS[1], KEYS[2]
local mode, after, count, bytes = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local epoch, top, ttl = current(name, meta)
renew(meta, ttl)
expire(name, ttl)

-- take returns the first entries that a command finds, within the bounds. It
-- reads in small steps: what it reads in vain is no more than one of them.
local function take(command, from, to)
  local taken, size = {}, 0
  while true do
    local step = math.min(#taken + 1, STEP, count > 0 and count - #taken or STEP)
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

local cursor, former = epoch .. ':' .. number(top), redis.call('HGET', meta, 'former') or ''
if mode == 'latest' then
  return {cursor, former, take('XREVRANGE', '+', '-')}
end
if ARGV[2] ~= epoch then
  local left, last = string.match(former, '(%w+):(%d+)')
  after = ARGV[2] == left and math.min(after, tonumber(last)) or 0
elseif after > top then
  after = 0
end
return {cursor, former, take('XRANGE', '(0-' .. number(after), '+')}
`

// topsScript returns two cursors of each channel, the one of its top and the one
// of the former epoch's, or "". KEYS are pairs of a channel's name and its meta
// hash.
const topsScript = epochLua + `
local cursors = {}
for i = 1, #KEYS, 2 do
  local epoch, top, ttl = current(KEYS[i], KEYS[i + 1])
  renew(KEYS[i + 1], ttl)
  cursors[#cursors + 1] = epoch .. ':' .. number(top)
  cursors[#cursors + 1] = redis.call('HGET', KEYS[i + 1], 'former') or ''
end
return cursors
`

// epochLua is what the scripts share.
const epochLua = `
local DAY = 86400000
local STEP = 16 -- entries that are read at once: each may be long

local function number(n) return string.format('%.0f', n) end

local function milliseconds()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end

-- An epoch is the microsecond in which it began, in base 36.
local function newEpoch()
  local now = redis.call('TIME')
  local n, epoch = now[1] * 1000000 + now[2], ''
  while n > 0 do
    local digit = n % 36
    epoch = string.sub('0123456789abcdefghijklmnopqrstuvwxyz', digit + 1, digit + 1) .. epoch
    n = (n - digit) / 36
  end
  return epoch
end

local line
local function currentLine()
  if not line then
    local info = redis.pcall('INFO', 'replication')
    line = type(info) == 'string' and string.match(info, 'master_replid:(%w+)') or ''
  end
  return line
end

-- current returns a channel's epoch, top and ttl; it begins an epoch if there is
-- none, or if the Redis that knew the channel is gone.
local function current(name, meta)
  local known = redis.call('HMGET', meta, 'epoch', 'top', 'ttl', 'line')
  local epoch, top, ttl = known[1], tonumber(known[2] or 0), tonumber(known[3] or 0)
  if not epoch or known[4] ~= currentLine() then
    local former = epoch and epoch .. ':' .. number(top) or ''
    epoch = newEpoch()
    redis.call('HSET', meta, 'epoch', epoch, 'line', currentLine(), 'former', former) -- first: a full Redis refuses here
  end
  if not known[1] then
    redis.call('DEL', name)
    redis.call('PEXPIRE', meta, DAY)
  end
  return epoch, top, ttl
end

-- renew keeps the epoch of a quiet channel that is asked for.
local function renew(meta, ttl)
  local left = redis.call('PTTL', meta)
  if left >= 0 and left < DAY / 2 then redis.call('PEXPIRE', meta, ttl + DAY) end
end

-- expire removes the messages that are older than ttl.
local function expire(name, ttl)
  if ttl == 0 then return end
  local oldest, step = milliseconds() - ttl, 1
  while true do
    local entries = redis.call('XRANGE', name, '-', '+', 'COUNT', step)
    if #entries == 0 then return end
    local old = {}
    for _, entry in ipairs(entries) do
      if tonumber(entry[2][2]) > oldest then break end
      old[#old + 1] = entry[1]
    end
    if #old > 0 then redis.call('XDEL', name, unpack(old)) end
    if #old < #entries then return end
    step = math.min(2 * step, STEP)
  end
end
`

// appendArgs is the command that runs AppendScript by its hash.
func (b *Redis) appendArgs(name string, m Message, o PublishOptions) []any {
	args := make([]any, 0, 11)
	args = append(args, "evalsha", b.appendHash, 2, name, name+metaSuffix)
	if m.Key != "" {
		args[2] = 3
		args = append(args, name+" key "+m.Key)
	}
	var header []byte
	if !o.Bare || o.HistorySize > 0 {
		header = appendHeader(make([]byte, 0, envelopeRoom+len(m.User)+len(m.Session)+len(m.Event)), m)
	}
	return append(args, m.Payload, o.HistorySize, o.HistoryTTL.Milliseconds(), header, b.publishCommand())
}
