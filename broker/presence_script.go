package broker

// What presence keeps in Redis, for a channel whose Redis name is NAME.
//
//	NAME presence            where joins and leaves are published; and a hash:
//	                         epoch      as history has it
//	                         top        the offset of the newest join or leave
//	                         line       the master_replid of the Redis that wrote it last
//	                         node NODE  "END VERSION MEMBERS LEASE": when the node's lease ends,
//	                                    in Unix milliseconds of Redis's clock; the version
//	                                    of its last attendance; how many members it has; how
//	                                    long its lease is. " spared" follows if it has been
//	                                    given more time. A node that only looks is there, too
//	NAME presence users      a hash: a user, and {"info":"…","nodes":{"NODE":SESSIONS}}
//	NAME presence lingering  a sorted set: users with no session anywhere, and when they leave
//
// All three expire some leases after the last sign of life.

const (
	usersSuffix     = presenceSuffix + " users"
	lingeringSuffix = presenceSuffix + " lingering"
)

// attendScript takes one Attendance. ARGV are the lease and the linger in
// milliseconds, PUBLISH or SPUBLISH, the node, the version, the one that it follows
// or whole, and for each member user, info and sessions. It returns 1, or 0 if it
// did nothing.
const attendScript = epochLua + presenceLua + `
local node, version, after = ARGV[4], tonumber(ARGV[5]), ARGV[6]
local p = read(KEYS, 1)
local mine = p.nodes[node] or {version = 0, members = 0}
if mine.version >= version or after ~= 'whole' and mine.version ~= tonumber(after) then return 0 end
begin(p)
p.nodes[node] = mine
mine.version = version
renew(p, node)
reap(p)
local listed, here = {}, 0
for i = 7, #ARGV, 3 do
  local user, info, sessions = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  listed[user] = true
  if sessions > 0 then
    here = here + 1
    enter(p, node, user, info, sessions)
  else
    exit(p, node, user)
  end
end
if after == 'whole' and mine.members > here then
  for user, entry in entries(p) do
    if entry.nodes[node] and not listed[user] then exit(p, node, user) end
  end
end
renew(p, node)
outlive(p)
return 1
`

// keepScript takes Stays. KEYS are three for each channel; ARGV are as those of
// attendScript up to the node, and then the version for each channel. It returns
// for each channel the cursor of its position, and known or unknown.
const keepScript = epochLua + presenceLua + `
local node, standings = ARGV[4], {}
for i = 1, #KEYS / 3 do
  local version, p = tonumber(ARGV[4 + i]), read(KEYS, 3 * i - 2)
  local mine = p.nodes[node]
  if p.epoch then
    begin(p)
    if version == 0 and not mine then
      mine = {version = 0, members = 0}
      p.nodes[node] = mine
    end
    if mine and (version > 0 or mine.members == 0) then renew(p, node) end
    reap(p)
    outlive(p)
  end
  standings[2 * i - 1] = cursor(p)
  standings[2 * i] = mine and mine.version == version and 'known' or 'unknown'
end
return standings
`

// membersScript returns the cursor of the position, and the users hash. ARGV are
// as those of attendScript up to PUBLISH.
const membersScript = epochLua + presenceLua + `
local p = read(KEYS, 1)
if p.epoch then
  begin(p)
  reap(p)
end
return {cursor(p), redis.call('HGETALL', p.users)}
`

// presenceLua is what these scripts share, beside epochLua.
const presenceLua = `
local LEASE, LINGER, PUBLISH = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]

-- late reports whether a node has missed signs of life.
local function late(p, n) return n.ends - p.now < n.lease / 2 end

local function read(keys, first)
  local p = {
    hash = keys[first], users = keys[first + 1], lingering = keys[first + 2],
    top = 0, nodes = {}, now = milliseconds(),
    silent = true, -- all nodes are late
  }
  local fields = redis.call('HGETALL', p.hash)
  for i = 1, #fields, 2 do
    local field, value = fields[i], fields[i + 1]
    if field == 'epoch' or field == 'line' then p[field] = value
    elseif field == 'top' then p.top = tonumber(value)
    else
      local ends, version, members, lease = string.match(value, '(%d+) (%d+) (%d+) ?(%d*)')
      local n = {
        ends = tonumber(ends), version = tonumber(version), members = tonumber(members),
        lease = tonumber(lease) or LEASE, spared = string.sub(value, -7) == ' spared',
      }
      p.nodes[string.sub(field, 6)] = n
      p.silent = p.silent and late(p, n)
    end
  end
  return p
end

local function cursor(p)
  return p.epoch and p.epoch .. ':' .. number(p.top) or ''
end

-- begin begins an epoch if there is none, or if the Redis that knew it is gone.
local function begin(p)
  if p.epoch and p.line == currentLine() then return end
  local lost = not p.epoch
  p.epoch, p.line = newEpoch(), currentLine()
  redis.call('HSET', p.hash, 'epoch', p.epoch, 'line', p.line) -- first: a full Redis refuses here
  if lost then redis.call('DEL', p.users, p.lingering) end
end

local function note(p, node)
  local n = p.nodes[node]
  redis.call('HSET', p.hash, 'node ' .. node, number(n.ends) .. ' ' .. number(n.version) .. ' ' ..
    number(n.members) .. ' ' .. number(n.lease) .. (n.spared and ' spared' or ''))
end

-- renew notes a sign of life, and what else is known of a node.
local function renew(p, node)
  local n = p.nodes[node]
  n.ends, n.lease, n.spared = p.now + LEASE, LEASE, false
  note(p, node)
end

-- spare gives a node more time, once.
local function spare(p, node)
  local n = p.nodes[node]
  n.ends, n.spared = p.now + n.lease / 2, true
  note(p, node)
end

-- outlive sees to it that what nobody needs any more goes away.
local function outlive(p)
  local ttl = number(4 * LEASE + LINGER)
  redis.call('PEXPIRE', p.hash, ttl)
  redis.call('PEXPIRE', p.users, ttl)
  redis.call('PEXPIRE', p.lingering, ttl)
end

local function tell(p, event, user, info)
  p.top = p.top + 1
  redis.call('HSET', p.hash, 'top', number(p.top))
  redis.call(PUBLISH, p.hash, 'TG1 {"event":"' .. event .. '","user":' .. cjson.encode(user) ..
    ',"epoch":"' .. p.epoch .. '","offset":' .. number(p.top) .. '}\n' .. info)
end

local function entries(p)
  local list, i = redis.call('HGETALL', p.users), -1
  return function()
    i = i + 2
    if list[i] then return list[i], cjson.decode(list[i + 1]) end
  end
end

local function write(p, user, entry) redis.call('HSET', p.users, user, cjson.encode(entry)) end

local function enter(p, node, user, info, sessions)
  local known = redis.call('HGET', p.users, user)
  local entry = known and cjson.decode(known) or {nodes = {}}
  if known and not next(entry.nodes) then redis.call('ZREM', p.lingering, user) end
  if not entry.nodes[node] then p.nodes[node].members = p.nodes[node].members + 1 end
  entry.info, entry.nodes[node] = info, sessions
  write(p, user, entry)
  if not known then tell(p, 'join', user, info) end
end

local function leave(p, user)
  redis.call('HDEL', p.users, user)
  redis.call('ZREM', p.lingering, user)
  tell(p, 'leave', user, '')
end

local function exit(p, node, user)
  local known = redis.call('HGET', p.users, user)
  local entry = known and cjson.decode(known)
  if not entry or not entry.nodes[node] then return end
  entry.nodes[node] = nil
  p.nodes[node].members = p.nodes[node].members - 1
  if next(entry.nodes) or LINGER > 0 then write(p, user, entry) end
  if next(entry.nodes) then return end
  if LINGER == 0 then return leave(p, user) end
  redis.call('ZADD', p.lingering, number(p.now + LINGER), user)
end

-- bury removes a dead node. Whom it alone had has left.
local function bury(p, node)
  local members = p.nodes[node].members
  p.nodes[node] = nil
  redis.call('HDEL', p.hash, 'node ' .. node)
  if members == 0 then return end
  for user, entry in entries(p) do
    if entry.nodes[node] then
      entry.nodes[node] = nil
      if next(entry.nodes) then write(p, user, entry) else leave(p, user) end
    end
  end
end

-- reap does what time has brought about. Where no node has been heard of it may be
-- Redis that has stood still.
local function reap(p)
  local dead = {}
  for node, n in pairs(p.nodes) do
    if p.silent and late(p, n) and not n.spared then spare(p, node)
    elseif n.ends <= p.now then dead[#dead + 1] = node end
  end
  for _, node in ipairs(dead) do bury(p, node) end
  for _, user in ipairs(redis.call('ZRANGEBYSCORE', p.lingering, '-inf', number(p.now))) do leave(p, user) end
end
`
