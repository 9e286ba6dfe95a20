package broker

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

type redisMode int

const (
	redisStandalone redisMode = iota
	redisSentinel
	redisCluster
)

// redisTarget is a parsed Redis URL.
type redisTarget struct {
	mode             redisMode
	tls              bool
	addresses        []string // host:port; those of the Sentinels if mode is redisSentinel
	user             string
	password         string
	database         int
	master           string
	sentinelUser     string
	sentinelPassword string
}

// parseRedisURL parses RedisConfig.URL. Its errors say what to write. They never contain
// the URL, which may contain a password.
func parseRedisURL(text string) (redisTarget, error) {
	if isCutByPassword(text) {
		return redisTarget{}, errSpecial
	}
	text, hosts := cutHosts(text)
	u, err := url.Parse(text)
	if err != nil {
		return redisTarget{}, errors.New("redis URL cannot be parsed: want redis://[user:password@]host[:port][/database], with special characters of the password written as %XX")
	}
	t := redisTarget{user: u.User.Username()}
	t.password, _ = u.User.Password()
	if !t.readScheme(u.Scheme) {
		return redisTarget{}, fmt.Errorf("redis URL scheme %q: want redis, redis+sentinel or redis+cluster, or rediss in place of redis for TLS", u.Scheme)
	}
	err = t.readAddresses(hosts)
	if err == nil {
		err = t.readPath(u)
	}
	if err == nil {
		err = t.readQuery(u)
	}
	if err != nil {
		return redisTarget{}, fmt.Errorf("%s URL: %w", u.Scheme, err)
	}
	return t, nil
}

var errSpecial = errors.New("redis URL: a special character of the password (or of the user) ends the address before its host. Write / as %2F, # as %23, ? as %3F, @ as %40, : as %3A and % as %25")

// isCutByPassword reports whether the host seems to come after a character that ends the
// address. What would then be taken for the host, the path or a parameter is part of the
// password.
func isCutByPassword(text string) bool {
	_, after, _ := strings.Cut(text, "://")
	end := strings.IndexAny(after, "/?#")
	if end < 0 {
		return false
	}
	rest, query, _ := strings.Cut(after[end:], "?")
	named := strings.HasPrefix(query, "sentinel_") && strings.Contains(after[:end], "@")
	return strings.ContainsAny(rest, "@#") || strings.Contains(query, "#") || strings.Contains(query, "@") && !named
}

// cutHosts removes the list of hosts from a URL, because net/url cannot parse it.
func cutHosts(text string) (rest, hosts string) {
	scheme, after, ok := strings.Cut(text, "://")
	if !ok {
		return text, ""
	}
	end := strings.IndexAny(after, "/?#")
	if end < 0 {
		end = len(after)
	}
	start := strings.LastIndexByte(after[:end], '@') + 1
	return scheme + "://" + after[:start] + "hosts" + after[end:], after[start:end]
}

func (t *redisTarget) readScheme(scheme string) bool {
	base, kind, _ := strings.Cut(scheme, "+")
	t.tls = base == "rediss"
	switch kind {
	case "sentinel":
		t.mode = redisSentinel
	case "cluster":
		t.mode = redisCluster
	}
	known := kind != "" || scheme == base
	return known && (base == "redis" || t.tls) && (kind == "") == (t.mode == redisStandalone)
}

func (t *redisTarget) readAddresses(hosts string) error {
	port := "6379"
	if t.mode == redisSentinel {
		port = "26379"
	}
	for _, host := range strings.Split(hosts, ",") {
		address, err := withPort(host, port)
		if err != nil {
			return err
		}
		t.addresses = append(t.addresses, address)
	}
	if t.mode == redisStandalone && len(t.addresses) > 1 {
		return errors.New("one host only; for several write redis+sentinel:// or redis+cluster://")
	}
	return nil
}

func withPort(address, port string) (string, error) {
	host := address
	if h, p, err := net.SplitHostPort(address); err == nil {
		host, port = h, p
	} else if inner, bracketed := strings.CutPrefix(address, "["); bracketed {
		host = strings.TrimSuffix(inner, "]")
	} else if strings.Contains(address, ":") {
		host = ""
	}
	if n, err := strconv.Atoi(port); host == "" || strings.ContainsAny(host, "%@[] ") || err != nil || n < 1 || n > 65535 {
		return "", errors.New("every address is host or host:port, with a port up to 65535, separated by commas")
	}
	return net.JoinHostPort(host, port), nil
}

func (t *redisTarget) readPath(u *url.URL) error {
	parts := strings.FieldsFunc(u.Path, func(r rune) bool { return r == '/' })
	if t.mode == redisSentinel {
		if len(parts) == 0 {
			return errors.New("the name of the master is missing: write it as the path, as in redis+sentinel://host:26379/mymaster")
		}
		t.master, parts = parts[0], parts[1:]
	}
	if len(parts) == 0 {
		return nil
	}
	database, err := strconv.Atoi(parts[0])
	if err != nil || database < 0 || len(parts) > 1 {
		return errors.New("want nothing behind the slash but the number of a database")
	}
	if t.mode == redisCluster && database != 0 {
		return errors.New("a Cluster has database 0 only")
	}
	t.database = database
	return nil
}

func (t *redisTarget) readQuery(u *url.URL) error {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errors.New("what follows the question mark cannot be parsed")
	}
	for name, values := range query {
		switch {
		case name == "sentinel_user" && t.mode == redisSentinel:
			t.sentinelUser = values[0]
		case name == "sentinel_password" && t.mode == redisSentinel:
			t.sentinelPassword = values[0]
		default:
			return fmt.Errorf("unknown parameter %q", name)
		}
	}
	return nil
}
