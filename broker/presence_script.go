package broker

import "github.com/redis/go-redis/v9"

// Presence keeps these keys in Redis. For a channel whose Redis name is NAME:
//
//	NAME presence   the name on which joins and leaves are published; and a hash:
//	                epoch      as in history
//	                top        the offset of the newest join or leave
//	                line       the run_id of the Redis process that wrote it last
//	                sessions   number of sessions on all nodes
//	                nodes      number of nodes that have sessions
//	                members    number of members
//	                vacates    when the channel is vacated if nobody comes
//	                @NODE      "SESSIONS VERSION MEMBERS": what the node has there, and
//	                           the version of its last attendance
//	                +USER      {"info":"…","nodes":{"NODE":SESSIONS}}, and "elsewhere"
//	                           if there is one (see Message)
//	                -SESSION   the same and "user", for a member that is a session
//
// And, in a Cluster once for each partition:
//
//	tidegate alive      a hash: @NODE is "END SINCE LAST LEASE": when the node's lease
//	                    ends, in Unix milliseconds of Redis's clock; the first version
//	                    from which its attendances are known; the last version; and
//	                    the length of its lease. " spared" follows if the node has been
//	                    given more time
//	tidegate on NODE    a set: the channels that the node has sessions on
//	tidegate lingering  a sorted set: "CHANNEL +USER", or "CHANNEL ~" for the channel
//	                    itself, which sorts after all members, by when the linger ends
//
// For the keys of notices see notice_script.go.
//
// A channel's hash is removed with its last member, and so are all other keys. What a
// cluster that died has left is removed by the next node that starts.

const (
	aliveKey     = "tidegate alive"
	onKey        = "tidegate on "
	lingeringKey = "tidegate lingering"
	noticesKey   = "tidegate notices"
	droppedKey   = "tidegate dropped"
	tellerKey    = "tidegate teller"
)

// The scripts that change presence have these parameters first: KEYS are alive, lingering,
// notices and dropped; ARGV are the lease and the linger in milliseconds, PUBLISH or
// SPUBLISH, the node, and the most notices that a line may have. attendScript and
// keepScript then have the last version of which the node knows that Redis has taken it.

// attendScript takes Attendances. More KEYS are the node's set of channels and then the
// hashes of the channels. More ARGV are, for each channel: its name, its letters (see
// Attendant.letters), the version, the version that it follows, with a "+" if it may be a
// later one, or "whole", the number of sessions, and the number of members, each of which
// follows as field, user, info, elsewhere and sessions. The script returns for each channel
// 1, or 0 if it did nothing.
var attendScript = redis.NewScript(epochLua + presenceLua + `
local me, taken, at = meet(tonumber(ARGV[9])), {}, 7
local overtaken = tonumber(ARGV[9]) <= me.last
for i = 6, #KEYS do
  local c = load(KEYS[i], ARGV[at], ARGV[at + 1])
  local a = {version = tonumber(ARGV[at + 2]), after = ARGV[at + 3], sessions = tonumber(ARGV[at + 4]), first = at + 6}
  at = a.first + 5 * tonumber(ARGV[at + 5])
  a.last = at - 1
  taken[#taken + 1] = not overtaken and attend(c, me, a) and 1 or 0
end
if not overtaken then
  renew(NODE, me)
end
return taken
`)

// keepScript records a sign of life. The last of ARGV is the version. The script returns
// the first version from which the node's attendances are known; in how many milliseconds
// the next linger ends, or -1; the nodes that are dead; and the members whose linger has
// ended.
var keepScript = redis.NewScript(epochLua + presenceLua + `
local version = tonumber(ARGV[7])
local me, dead = meet(version), reap()
me.last = version
renew(NODE, me)
hasten()
local due = redis.call('ZRANGEBYSCORE', LINGERING, '-inf', LINGER > 0 and number(now) or '+inf', 'LIMIT', 0, 500)
local first = redis.call('ZRANGE', LINGERING, #due, #due, 'WITHSCORES')
return {number(me.since), first[2] and number(math.max(1, first[2] - now)) or '-1', dead, due}
`)

// lookScript returns for each of the channels' hashes the cursor of its position, or "".
var lookScript = redis.NewScript(`
local reply = {}
for i, key in ipairs(KEYS) do
  local f = redis.call('HMGET', key, 'epoch', 'top')
  reply[i] = f[1] and f[1] .. ':' .. (f[2] or '0') or ''
end
return reply
`)

// lingerScript ends lingers. More KEYS are the channels' hashes; more ARGV are, for each of
// them, its name, its letters and what lingers there.
var lingerScript = redis.NewScript(epochLua + presenceLua + `
for i = 5, #KEYS do
  local at = 6 + 3 * (i - 5)
  local c = load(KEYS[i], ARGV[at], ARGV[at + 1])
  endLinger(c, ARGV[at + 2])
end
`)

// buryScript removes a dead node, the one of ARGV, from channels. More KEYS are the node's
// set of channels and the channels' hashes. More ARGV are where to begin in the first hash,
// and for each channel its name and its letters. The script returns how many channels it
// has finished, or -1 if the node is alive or no longer known, and where it has stopped in
// the next channel.
var buryScript = redis.NewScript(epochLua + presenceLua + `
local n = find(NODE)
if not n or n.ends > now then return {-1, '0'} end
n.since = n.last + 1
note(NODE, n)
local at, budget, done = ARGV[6], 500, 0
for i = 6, #KEYS do
  local c = load(KEYS[i], ARGV[7 + 2 * (i - 6)], ARGV[8 + 2 * (i - 6)])
  repeat
    local seen
    at, seen = bury(c, at)
    budget = budget - seen
  until at == '0' or budget <= 0
  save(c)
  if at ~= '0' then return {done, at} end
  redis.call('SREM', KEYS[5], c.name)
  done = done + 1
  if budget <= 0 then break end
end
if redis.call('SCARD', KEYS[5]) == 0 then redis.call('HDEL', ALIVE, '@' .. NODE) end
return {done, '0'}
`)

// presenceLua is the code that the scripts which change presence share, beside epochLua.
const presenceLua = linesLua + `
local LEASE, LINGER, PUBLISH, NODE, ROOM = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])
local ALIVE, LINGERING, NOTICES, DROPPED = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local now = milliseconds()

-- Nodes.

local function parse(value)
  local ends, since, last, lease = string.match(value, '(%d+) (%d+) (%d+) (%d+)')
  return {
    ends = tonumber(ends), since = tonumber(since), last = tonumber(last), lease = tonumber(lease),
    spared = string.sub(value, -7) == ' spared',
  }
end

local function find(node)
  local value = redis.call('HGET', ALIVE, '@' .. node)
  return value and parse(value)
end

local function note(node, n)
  redis.call('HSET', ALIVE, '@' .. node, number(n.ends) .. ' ' .. number(n.since) .. ' ' .. number(n.last) .. ' ' ..
    number(n.lease) .. (n.spared and ' spared' or ''))
end

local function nodes()
  local fields, list = redis.call('HGETALL', ALIVE), {}
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 1) == '@' then list[string.sub(fields[i], 2)] = parse(fields[i + 1]) end
  end
  return list
end

-- meet returns the node of ARGV. If it has been told that more of its versions were taken
-- than are known here, something is forgotten, and nothing sure of what there is of it.
local function meet(version)
  local me = find(NODE)
  if me and me.last >= tonumber(ARGV[6]) then return me end
  return {since = version, last = version - 1}
end

-- renew notes a sign of life.
local function renew(node, n)
  n.ends, n.lease, n.spared = now + LEASE, LEASE, false
  note(node, n)
end

-- late reports whether a node has missed signs of life.
local function late(n) return n.ends - now < n.lease / 2 end

-- reap returns the nodes that are dead. Where no node has been heard of it may be
-- Redis that has stood still: then each is given more time, once.
local function reap()
  local all, silent, dead = nodes(), true, {}
  for node, n in pairs(all) do
    if n.ends > now + n.lease then -- the clock has gone back
      n.ends = now + n.lease
      note(node, n)
    end
    silent = silent and late(n)
  end
  for node, n in pairs(all) do
    if silent and not n.spared then
      n.ends, n.spared = now + n.lease / 2, true
      note(node, n)
    elseif n.ends <= now and node ~= NODE then
      dead[#dead + 1] = node
    end
  end
  return dead
end

-- Channels.

local function load(key, name, letters)
  local f = redis.call('HMGET', key, 'epoch', 'top', 'line', 'sessions', 'nodes', 'members', 'vacates')
  return {
    key = key, name = name, letters = letters, node = string.sub(letters, 1, 1) == 's', epoch = f[1], top = tonumber(f[2] or 0), line = f[3],
    sessions = tonumber(f[4] or 0), nodes = tonumber(f[5] or 0), members = tonumber(f[6] or 0), vacates = tonumber(f[7] or 0),
  }
end

-- save is called when all is done. Of a channel where nobody is nothing stays.
local function save(c)
  if c.nodes == 0 and c.members == 0 and c.vacates == 0 then
    redis.call('DEL', c.key)
  else
    redis.call('HSET', c.key, 'top', number(c.top), 'sessions', number(c.sessions), 'nodes', number(c.nodes),
      'members', number(c.members), 'vacates', number(c.vacates))
  end
end

-- begin begins an epoch if there is none, or if the Redis that knew it is gone.
local function begin(c)
  if c.epoch and c.line == currentLine() then return end
  c.epoch, c.line = newEpoch(), currentLine()
  redis.call('HSET', c.key, 'epoch', c.epoch, 'line', c.line)
end

-- notify puts a notice in the lines that are told of it.
local function notify(c, letter, event, user, session, info)
  for name, told in string.gmatch(c.letters, ' ([^ =]*)=(%a*)') do
    if string.find(told, letter, 1, true) then
      local line, dropped = named(NOTICES, name), named(DROPPED, name)
      if redis.call('XLEN', line) >= ROOM then
        redis.call('XTRIM', line, 'MAXLEN', ROOM - 1)
        redis.call('INCR', dropped)
      end
      redis.call('XADD', line, '*', 'event', event, 'channel', c.name, 'user', user, 'session', session,
        'info', info, 'sessions', number(c.sessions))
      keep(name, line, dropped)
    end
  end
end

local function linger(c, what)
  redis.call('ZADD', LINGERING, number(now + LINGER), c.name .. ' ' .. what)
end

-- hasten has no linger last for longer than one does that begins now: the clock may have
-- gone back.
local function hasten()
  for _, what in ipairs(redis.call('ZRANGEBYSCORE', LINGERING, number(now + LINGER + 1), '+inf', 'LIMIT', 0, 500)) do
    redis.call('ZADD', LINGERING, number(now + LINGER), what)
  end
end

local function rest(c, what) redis.call('ZREM', LINGERING, c.name .. ' ' .. what) end

local function occupy(c)
  if c.vacates > 0 then
    c.vacates = 0
    rest(c, '~')
  else
    notify(c, 'c', 'occupied', '', '', '')
  end
end

local function vacate(c) notify(c, 'c', 'vacated', '', '', '') end

-- tell tells of a join or a leave.
local function tell(c, event, field, entry)
  local user, session = string.sub(field, 2), ''
  if string.sub(field, 1, 1) == '-' then session, user = user, entry.user end
  if event == 'leave' or not c.node then
    notify(c, 'm', event == 'join' and 'joined' or 'left', user, session, entry.info)
  end
  if c.node then return end
  c.top = c.top + 1
  redis.call(PUBLISH, c.key, 'TG1 {"event":"' .. event .. '","user":' .. cjson.encode(user) ..
    (session ~= '' and ',"session":' .. cjson.encode(session) or '') ..
    (event == 'join' and entry.elsewhere and ',"elsewhere":' .. entry.elsewhere or '') ..
    ',"epoch":"' .. c.epoch .. '","offset":' .. number(c.top) .. '}\n' .. (event == 'join' and entry.info or ''))
end

local function write(c, field, entry) redis.call('HSET', c.key, field, cjson.encode(entry)) end

local function read(c, field)
  local value = redis.call('HGET', c.key, field)
  return value and cjson.decode(value)
end

-- said returns what ARGV say of a member.
local function said(i)
  return {user = ARGV[i + 1], info = ARGV[i + 2], elsewhere = ARGV[i + 3] ~= '' and ARGV[i + 3] or nil}
end

-- show has a member be what is said of it.
local function show(entry, is) entry.info, entry.elsewhere = is.info, is.elsewhere end

-- enter notes a node's sessions of a member, and reports whether it had none.
local function enter(c, field, is, sessions)
  local known = read(c, field)
  local entry = known or {nodes = {}}
  local fresh = not entry.nodes[NODE]
  if known and not next(entry.nodes) then rest(c, field) end
  show(entry, is)
  entry.nodes[NODE] = sessions
  if string.sub(field, 1, 1) == '-' then entry.user = is.user end
  write(c, field, entry)
  if not known then
    c.members = c.members + 1
    tell(c, 'join', field, entry)
  end
  return fresh
end

local function leave(c, field, entry)
  redis.call('HDEL', c.key, field)
  c.members = c.members - 1
  tell(c, 'leave', field, entry)
end

-- exit notes that a node has no session of a member any more, and reports whether
-- it had one. An info takes the place of the former. The end of a session is told,
-- too, if it was too short to be known.
local function exit(c, field, was, lingers)
  local entry = read(c, field)
  if not entry or not entry.nodes[NODE] then
    if c.node and was.info ~= '' then tell(c, 'leave', field, was) end
    return false
  end
  entry.nodes[NODE] = nil
  if was.info ~= '' then show(entry, was) end
  if next(entry.nodes) then
    write(c, field, entry)
  elseif lingers then
    write(c, field, entry)
    linger(c, field)
  else
    leave(c, field, entry)
  end
  return true
end

local NOTHING = {user = '', info = ''}

local function isMember(field)
  local first = string.sub(field, 1, 1)
  return first == '+' or first == '-'
end

-- exitOthers is exit for all members that are not listed.
local function exitOthers(c, listed, lingers)
  local fields, n = redis.call('HGETALL', c.key), 0
  for i = 1, #fields, 2 do
    if isMember(fields[i]) and not listed[fields[i]] and exit(c, fields[i], NOTHING, lingers) then n = n + 1 end
  end
  return n
end

-- count notes how many sessions a node has there, of as many as it had.
local function count(c, had, sessions)
  if had == sessions then return end
  c.sessions = c.sessions - had + sessions
  if had == 0 and sessions > 0 then
    c.nodes = c.nodes + 1
    redis.call('SADD', KEYS[5], c.name)
    if c.nodes == 1 then occupy(c) end
  elseif had > 0 and sessions == 0 then
    c.nodes = c.nodes - 1
    redis.call('SREM', KEYS[5], c.name)
  end
  notify(c, 'n', 'counted', '', '', '')
end

local function attend(c, me, a)
  local mine = redis.call('HGET', c.key, '@' .. NODE)
  local had, last, members = string.match(mine or '0 0 0', '(%d+) (%d+) (%d+)')
  had, last, members = tonumber(had), tonumber(last), tonumber(members)
  local whole, lingers = a.after == 'whole', LINGER > 0 and not c.node
  local least = string.match(a.after, '^(%d+)%+$')
  if least then
    least = tonumber(least)
    if last < least or least > 0 and last < me.since then return false end
  elseif not whole and (last ~= tonumber(a.after) or last > 0 and last < me.since) then
    return false
  end
  me.last = a.version
  begin(c)
  local listed, here = {}, 0
  count(c, had, a.sessions)
  for i = a.first, a.last, 5 do
    local field, sessions = ARGV[i], tonumber(ARGV[i + 4])
    listed[field] = true
    if sessions > 0 then
      here = here + 1
      if enter(c, field, said(i), sessions) then members = members + 1 end
    elseif exit(c, field, said(i), lingers) then
      members = members - 1
    end
  end
  if (whole or a.sessions == 0) and members > here then members = members - exitOthers(c, listed, lingers) end
  if a.sessions > 0 then
    redis.call('HSET', c.key, '@' .. NODE, number(a.sessions) .. ' ' .. number(a.version) .. ' ' .. number(members))
  elseif had > 0 then
    redis.call('HDEL', c.key, '@' .. NODE)
    if c.nodes > 0 then
      -- somebody is there
    elseif lingers then
      c.vacates = now + LINGER
      linger(c, '~')
    else
      vacate(c)
    end
  end
  save(c)
  return true
end

local function endLinger(c, what)
  rest(c, what)
  if not c.epoch then return end
  begin(c)
  if what == '~' then
    if c.vacates > 0 and c.nodes == 0 then vacate(c) end
    c.vacates = 0
  else
    local entry = read(c, what)
    if entry and not next(entry.nodes) then leave(c, what, entry) end
  end
  save(c)
end

-- bury removes a dead node from a part of a channel. Whom it alone had has left. It
-- returns where the next part begins, and how much it has seen; 0: there is none.
local function bury(c, at)
  if not c.epoch then return '0', 1 end
  begin(c)
  local page = redis.call('HSCAN', c.key, at, 'COUNT', 500)
  local fields, quoted = page[2], cjson.encode(NODE)
  for i = 1, #fields, 2 do
    if isMember(fields[i]) and string.find(fields[i + 1], quoted, 1, true) then exit(c, fields[i], NOTHING, false) end
  end
  if page[1] == '0' then
    local mine = redis.call('HGET', c.key, '@' .. NODE)
    if mine then
      c.sessions, c.nodes = c.sessions - tonumber(string.match(mine, '%d+')), c.nodes - 1
      redis.call('HDEL', c.key, '@' .. NODE)
      notify(c, 'n', 'counted', '', '', '')
      if c.nodes == 0 then vacate(c) end
    end
  end
  return page[1], #fields / 2 + 1
end
`
