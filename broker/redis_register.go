package broker

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// The register is one hash, "PREFIX register". Channel names contain no space, so that the
// key belongs to no channel. Its fields:
//
//	NAME      when the entry expires, in Unix milliseconds of Redis's clock, a space, its value
//	 version  the time of the last change, or one more than before it if that is later. A smaller
//	          one than a node has seen shows that Redis has lost changes
const registerKey = " register"

const registerLua = epochLua + `
local key, now = KEYS[1], milliseconds()

local function changed()
  redis.call('HSET', key, ' version', number(math.max(now, tonumber(redis.call('HGET', key, ' version') or 0) + 1)))
end

local function expiry(entry) return tonumber(string.match(entry, '^%d+')) or 0 end
`

// enterScript adds an entry. ARGV are the name, the value, for how many milliseconds it
// lasts, and how many entries there may be. The script returns 0 if there is no room.
var enterScript = redis.NewScript(registerLua + `
local name, value, lasts, room = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local function isFull() -- of other entries; the version is a field, too
  return redis.call('HLEN', key) - redis.call('HEXISTS', key, name) - 1 >= room
end

if isFull() then
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    if all[i] ~= ' version' and expiry(all[i + 1]) <= now then redis.call('HDEL', key, all[i]) end
  end
  if isFull() then return 0 end
end
redis.call('HSET', key, name, number(now + lasts) .. ' ' .. value)
changed()
return 1
`)

// strikeScript removes the entry with the name in ARGV. It returns 1 if the entry existed
// and had not expired, else 0.
var strikeScript = redis.NewScript(registerLua + `
local entry = redis.call('HGET', key, ARGV[1])
if not entry then return 0 end
redis.call('HDEL', key, ARGV[1])
changed()
return expiry(entry) > now and 1 or 0
`)

// entriesScript returns the version and, unless that equals ARGV[1], three values for each
// entry: its name, for how many milliseconds it still lasts, and its value.
var entriesScript = redis.NewScript(registerLua + `
local version = redis.call('HGET', key, ' version') or '0'
local reply = {version}
if version == ARGV[1] then return reply end
local all = redis.call('HGETALL', key)
for i = 1, #all, 2 do
  local left = expiry(all[i + 1]) - now
  if all[i] ~= ' version' and left > 0 then
    reply[#reply + 1] = all[i]
    reply[#reply + 1] = number(left)
    reply[#reply + 1] = string.match(all[i + 1], '^%d+ (.*)$') or ''
  end
end
return reply
`)

// redisRegister implements Register in Redis.
type redisRegister struct{ servers *servers }

// askRegister calls f with a client of the server that has the register, and with its key.
func (r *redisRegister) askRegister(ctx context.Context, f func(ctx context.Context, client *redis.Client, keys []string) error) error {
	return r.servers.ask(ctx, 0, func(ctx context.Context, client *redis.Client) error {
		return f(ctx, client, []string{r.servers.prefixes[0] + registerKey})
	})
}

// Enter implements Register.
func (r *redisRegister) Enter(ctx context.Context, name string, value []byte, lasts time.Duration) error {
	var entered int
	err := r.askRegister(ctx, func(ctx context.Context, client *redis.Client, keys []string) (err error) {
		entered, err = enterScript.Run(ctx, client, keys, name, value, lasts.Milliseconds(), RegisterRoom).Int()
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("enter %q in the register: %w: %w", name, ErrUnavailable, err)
	case entered == 0:
		return ErrRegisterFull
	}
	return nil
}

// Strike implements Register.
func (r *redisRegister) Strike(ctx context.Context, name string) (existed bool, err error) {
	err = r.askRegister(ctx, func(ctx context.Context, client *redis.Client, keys []string) error {
		struck, err := strikeScript.Run(ctx, client, keys, name).Int()
		existed = struck == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("strike %q from the register: %w: %w", name, ErrUnavailable, err)
	}
	return existed, nil
}

// Entries implements Register.
func (r *redisRegister) Entries(ctx context.Context, unless uint64) (entries []Entry, version uint64, err error) {
	err = r.askRegister(ctx, func(ctx context.Context, client *redis.Client, keys []string) error {
		reply, err := entriesScript.Run(ctx, client, keys, strconv.FormatUint(unless, 10)).StringSlice()
		if err == nil {
			entries, version, err = decodeEntries(reply, time.Now())
		}
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read the register: %w: %w", ErrUnavailable, err)
	}
	return entries, version, nil
}

// decodeEntries decodes the reply of entriesScript.
func decodeEntries(reply []string, now time.Time) ([]Entry, uint64, error) {
	if len(reply)%3 != 1 {
		return nil, 0, errStrangeAnswer
	}
	version, err := strconv.ParseUint(reply[0], 10, 64)
	if err != nil {
		return nil, 0, errStrangeAnswer
	}
	var entries []Entry
	for part := reply[1:]; len(part) > 0; part = part[3:] {
		left, err := strconv.ParseInt(part[1], 10, 64)
		if err != nil || strings.Contains(part[0], " ") {
			return nil, 0, errStrangeAnswer
		}
		entries = append(entries, Entry{part[0], []byte(part[2]), now.Add(time.Duration(left) * time.Millisecond)})
	}
	return entries, version, nil
}
