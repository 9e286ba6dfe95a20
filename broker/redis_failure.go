package broker

import (
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Reasons for failures, besides errors that Redis returns.
var (
	errNotRunning    = errors.New("not running")
	errNoAnswer      = errors.New("redis did not answer in time")
	errStrangeAnswer = errors.New("redis gave an answer that the script does not give")
	errReplica       = errors.New("redis is a replica, not a master") // what it accepts may be neither delivered nor kept
)

func notPublished(channel string, why error) error {
	return fmt.Errorf("publish on %q: %w: %w", channel, ErrUnavailable, why)
}

// isLost reports whether err comes from the connection rather than from Redis.
func isLost(err error) bool {
	if err == nil {
		return false
	}
	var answer redis.Error
	return !errors.As(err, &answer)
}

// errElsewhere says that a publication was not sent, because its master may be another one.
const errElsewhere redisRefusal = "MOVED meanwhile"

// wrongMaster reports whether a server refused a command because another server is the
// master.
func wrongMaster(err error) bool {
	return err != nil && (redis.HasErrorPrefix(err, "MOVED") || redis.HasErrorPrefix(err, "ASK") ||
		redis.HasErrorPrefix(err, "TRYAGAIN") || redis.HasErrorPrefix(err, "READONLY"))
}

// isReadonly reports whether err says that the server is not a master.
func isReadonly(err error) bool {
	return errors.Is(err, errReplica) || redis.HasErrorPrefix(err, "READONLY")
}

// isForbidden reports whether err says that a command is not allowed, or does not exist.
func isForbidden(err error) bool {
	kind := refusalKind(err)
	return kind == "NOPERM" || kind == otherRefusal
}
