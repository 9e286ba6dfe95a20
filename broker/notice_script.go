package broker

// What Redis keeps of notices, in a Cluster for each partition:
//
//	tidegate notices    a stream: what a backend is to be told
//	tidegate dropped    how many notices found no room
//	tidegate teller     who delivers them, while its lease lasts
//
// A line that has a name has it behind these, as in "tidegate notices shop".
// "tidegate notices told CHANNEL KEY" says for IdempotencyWindow that the message with
// this key has been in line.

// putScript puts notices in line. KEYS are notices and dropped; ARGV for each notice the
// line, how short that must be, the event, channel, user, session, info, message, and the
// message's idempotency key or "".
const putScript = linesLua + `
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
`

// linesLua is what the scripts share that put notices in line.
const linesLua = `
local function named(key, line) return line == '' and key or key .. ' ' .. line end

-- keep has a line with a name go when nothing has come for a week.
local function keep(name, line, dropped)
  if name == '' then return end
  redis.call('PEXPIRE', line, 604800000)
  redis.call('PEXPIRE', dropped, 604800000)
end
`

// takeScript takes from a line of notices. KEYS are teller, notices and dropped;
// ARGV the node, its lease, how many to return, and the first id to keep, or "". It
// returns who delivers, if it is somebody else, or "", how many were dropped, and
// the notices.
const takeScript = `
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
`
