package broker

import "github.com/redis/go-redis/v9"

// Notices are kept in these keys of Redis, in a Cluster once for each partition:
//
//	tidegate notices    a stream: the notices for a backend
//	tidegate dropped    how many notices were dropped for lack of room
//	tidegate teller     the node that delivers them, while its lease lasts
//
// The keys of a named line end with its name, as in "tidegate notices shop".
// "tidegate notices told CHANNEL KEY" exists for IdempotencyWindow after a notice of the
// message with this key was put in line.

// putScript puts notices in line. KEYS are notices and dropped. ARGV are, for each notice:
// the line; the length from which on the line has no room for it; the event, channel, user,
// session, info and message; and the idempotency key of the message, or "".
var putScript = redis.NewScript(linesLua + `
for i = 1, #ARGV, 9 do
  local line, dropped, key = named(KEYS[1], ARGV[i]), named(KEYS[2], ARGV[i]), ARGV[i + 8]
  local told = key ~= '' and named(KEYS[1], ARGV[i]) .. ' told ' .. ARGV[i + 3] .. ' ' .. key
  if told and redis.call('EXISTS', told) == 1 then
    -- a publish of it that was repeated
  elseif redis.call('XLEN', line) >= tonumber(ARGV[i + 1]) then
    redis.call('INCR', dropped)
  else
    if told then redis.call('SET', told, '', 'PX', 300000) end
    redis.call('XADD', line, '*', 'event', ARGV[i + 2], 'channel', ARGV[i + 3], 'user', ARGV[i + 4], 'session', ARGV[i + 5],
      'info', ARGV[i + 6], 'message', ARGV[i + 7])
  end
  keep(ARGV[i], line, dropped)
end
`)

// linesLua is the code that the scripts which put notices in line share.
const linesLua = `
local function named(key, line) return line == '' and key or key .. ' ' .. line end

-- keep has a line with a name go when nothing has come for a week.
local function keep(name, line, dropped)
  if name == '' then return end
  redis.call('PEXPIRE', line, 604800000)
  redis.call('PEXPIRE', dropped, 604800000)
end
`

// takeScript takes notices from a line. KEYS are teller, notices and dropped. ARGV are the
// node, its lease, how many notices to return, and the first id to keep, or "" to remove
// none. The script returns the node that delivers if it is another one, else ""; how many
// notices were dropped; and the notices.
var takeScript = redis.NewScript(`
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {holder, 0, {}} end
if ARGV[4] ~= '' then redis.call('XTRIM', KEYS[2], 'MINID', ARGV[4]) end
if tonumber(ARGV[2]) == 0 then
  redis.call('DEL', KEYS[1])
  return {'', 0, {}}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local dropped = redis.call('GET', KEYS[3])
if dropped then redis.call('DEL', KEYS[3]) end
return {'', tonumber(dropped or 0), redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', ARGV[3])}
`)
