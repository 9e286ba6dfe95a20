package broker

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// rights are the commands, as they are sent or as scripts call them, that the Redis user
// must be allowed to run. KEY and CHANNEL stand for names that begin with the prefix.
// README.md has them as one line for the server's ACL.
var rights = []string{
	"ping", "info server", "publish CHANNEL m", "subscribe CHANNEL", "unsubscribe CHANNEL",
	"eval s 1 KEY", "evalsha h 1 KEY", "script load s", "wait 1 1", "time",
	"get KEY", "set KEY v", "incr KEY", "del KEY", "exists KEY", "pexpire KEY 1", "pttl KEY", "persist KEY",
	"hset KEY f v", "hget KEY f", "hmget KEY f", "hgetall KEY", "hlen KEY", "hexists KEY f", "hscan KEY 0", "hdel KEY f",
	"xadd KEY * f v", "xrange KEY - +", "xrevrange KEY + -", "xlen KEY", "xtrim KEY MAXLEN 1",
	"sadd KEY m", "srem KEY m", "scard KEY", "srandmember KEY 1", "sscan KEY 0",
	"zadd KEY 1 m", "zrem KEY m", "zrange KEY 0 1", "zrangebyscore KEY 0 1",
}

// clusterRights are the additional ones in a Cluster.
var clusterRights = []string{
	"spublish CHANNEL m", "ssubscribe CHANNEL", "sunsubscribe CHANNEL", "cluster slots", "command",
}

// rightsScript returns those of its arguments that the user may not run. Redis before 7.0
// cannot tell, so it returns none.
const rightsScript = `
local denied = {}
for _, command in ipairs(ARGV) do
  local words = {}
  for word in string.gmatch(command, '%S+') do words[#words + 1] = word end
  for i = 2, #words do
    if words[i] == 'KEY' or words[i] == 'CHANNEL' then words[i] = KEYS[1] end
  end
  if redis.acl_check_cmd and not redis.acl_check_cmd(unpack(words)) then denied[#denied + 1] = command end
end
return denied
`

const rightsPause = time.Second // between attempts to ask

// checkRights asks each master, until it gets an answer, which commands the user may not run, and
// logs them. In a Cluster each server has its own ACL.
func (s *servers) checkRights(ctx context.Context) {
	check := func(ctx context.Context, client *redis.Client, partition int) error {
		denied, err := s.denied(ctx, client, partition)
		if len(denied) > 0 {
			s.log.Error("redis does not let this user do what Tidegate needs",
				"server", client.Options().Addr, "denied", strings.Join(denied, ", "))
		}
		return err
	}
	checked := make(map[string]bool)
	for s.eachMaster(ctx, checked, check) != nil && sleep(ctx, rightsPause) {
	}
}

// denied returns the required commands that the user may not run at the master of a partition.
func (s *servers) denied(ctx context.Context, client *redis.Client, partition int) ([]string, error) {
	commands := rights
	if s.clustered {
		commands = slices.Concat(rights, clusterRights)
	}
	args := make([]any, len(commands))
	for i, command := range commands {
		args[i] = command
	}
	denied, err := client.Eval(ctx, rightsScript, []string{s.prefixes[partition] + "rights"}, args...).StringSlice()
	if redis.HasErrorPrefix(err, "NOPERM") {
		return []string{"eval"}, nil
	}
	return denied, err
}
