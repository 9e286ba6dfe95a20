package simredis_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tidegate/broker/brokertest"
	"tidegate/broker/simredis"
)

// commands are the commands that the broker and its scripts send, except those whose replies
// are arbitrary. Placeholders: K is the number of a key, after a letter for its type; F is a
// field or member, V a value; N is a number, P a number other than 0; I is the id of the next
// stream entry, E that of any entry; C is a channel, and S a script.
var commands = []string{
	"get sK", "set sK V", "set sK V PX 300000", "set sK N", "incr sK", "del hK", "del xK", "exists sK", "pexpire hK 300000", "pexpire hK 0",
	"pttl hK", "pttl sK", "persist hK", "hset hK F V", "hset hK F V F V", "hget hK F", "hmget hK F F", "hgetall hK", "hlen hK", "hexists hK F",
	"hdel hK F", "hscan hK 0 COUNT 500", "xadd xK I F V", "xadd xK MAXLEN P I F V", "xadd xK MAXLEN P I time N message V", "xrange xK - +",
	"xrange xK (E + COUNT P", "xrange xK E E", "xrevrange xK + -", "xrevrange xK (E - COUNT P", "xlen xK", "xtrim xK MAXLEN P", "xtrim xK MINID E",
	"sadd mK F", "srem mK F", "scard mK", "sscan mK 0 COUNT 500", "zadd zK N F", "zrem zK F", "zrange zK 0 1", "zrange zK N N WITHSCORES",
	"zrangebyscore zK -inf N LIMIT 0 5", "zrangebyscore zK -inf +inf", "publish C V", "subscribe C", "unsubscribe C",
	"evalsha 0123456789012345678901234567890123456789 0", "eval S 3 sK hK xK V N", "hello 4", "get",
	"nonsense sK", "hget sK F", "get hK",
}

// scripts use each feature that the broker's scripts use.
var scripts = []string{
	`return redis.call('GET', KEYS[1])`,
	`local n = redis.call('HMGET', KEYS[1], 'a', 'b') return {n[1] or 'none', n[2] and 1 or 0}`,
	`return {1, 2.7, 'three', {4, 'five'}, true, 'behind'}`,
	`return {1, false, 3}`,
	`return redis.pcall('INCR', KEYS[1]).err and 'refused' or 'done'`,
	`return tostring(ARGV[2] + 1) .. string.format('%.0f', 1764299999123456 / 1000)`,
	`local t = cjson.decode('{"nodes":{"a":1},"info":"[]"}') t.nodes.a = nil return cjson.encode(t.nodes) .. t.info`,
	`local entries = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 2) return #entries > 0 and entries[1][2][2] or ''`,
	`redis.call('SET', KEYS[1], ARGV[1], 'PX', 300000) return redis.call('PTTL', KEYS[1]) > 0`,
	`local left, last = string.match('k3x9:41', '(%w+):(%d+)') return {left, tonumber(last)}`,
	`redis.call('HSET', KEYS[2], 'f', 'v', 'g', ARGV[1]) return redis.call('HGET', KEYS[2], 'g')`,
	`return redis.call('HGET', KEYS[1], 'f')`,
	`return redis.call('PUBLISH', 'c0', ARGV[1])`,
}

// FuzzCommands sends the same commands to Redis and to the model, and compares the replies.
func FuzzCommands(f *testing.F) {
	brokertest.RequireRedis(f)
	redis := brokertest.StartRedis(f)
	for i := range commands {
		f.Add([]byte{byte(i), 1, 2, 3, byte(i), 1, 2, 3, byte(i), 2, 3, 4})
	}
	for i := range byte(32) { // pseudorandom seeds
		var story []byte
		for j := range byte(240) {
			story = append(story, (i+1)*j*j+i*37+j>>2)
		}
		f.Add(story)
	}
	f.Fuzz(func(t *testing.T, story []byte) {
		real := connectTCP(t, redis.Addr)
		servers := simredis.New(1)
		t.Cleanup(servers.Close)
		servers.Start("redis:6379")
		conn, err := servers.NewWay(1, 0).Dial(t.Context(), "tcp", "redis:6379")
		if err != nil {
			t.Fatal(err)
		}
		model := &teller{t, conn, bufio.NewReader(conn)}
		for _, c := range []*teller{real, model} {
			c.say("flushall")
			c.hear()
			c.say("hello", "3") // RESP3 allows other commands after subscribe
			c.hear()
		}
		var said []string
		for command := range storyOf(story) {
			said = append(said, strings.Join(command, " "))
			if got, want := model.answerTo(command), real.answerTo(command); got != want {
				t.Fatalf("%s\nthe model answers %q, Redis %q", strings.Join(said, "\n"), got, want)
			}
		}
	})
}

// storyOf derives a sequence of commands from bytes.
func storyOf(story []byte) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		entries := 0
		next := func() (b byte) {
			if len(story) > 0 {
				b, story = story[0], story[1:]
			}
			return b
		}
		for n := 0; len(story) > 0 && n < 200; n++ {
			words := strings.Fields(commands[int(next())%len(commands)])
			for i, word := range words[1:] {
				if word == "I" {
					entries++
					words[i+1] = fmt.Sprint("0-", entries)
				} else {
					words[i+1] = argument(word, next)
				}
			}
			if !yield(words) {
				return
			}
		}
	}
}

func argument(word string, next func() byte) string {
	kind, ok := strings.CutSuffix(word, "K")
	if ok {
		return kind + strconv.Itoa(int(next()%2))
	}
	switch word {
	case "F":
		return string(rune('a' + next()%3))
	case "V":
		return []string{"", "x", "7", "two words", "\x00\xff", `{"a":[]}`}[next()%6]
	case "N":
		return strconv.Itoa(int(next() % 9))
	case "P":
		return strconv.Itoa(int(1 + next()%9))
	case "C":
		return "c" + strconv.Itoa(int(next()%2))
	case "S":
		return scripts[int(next())%len(scripts)]
	case "E", "(E":
		return strings.TrimSuffix(word, "E") + "0-" + strconv.Itoa(1+int(next()%20))
	}
	return word
}

// teller is a client that sends one command at a time.
type teller struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func connectTCP(t testing.TB, address string) *teller {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &teller{t, conn, bufio.NewReader(conn)}
}

func (c *teller) say(words ...string) {
	text := fmt.Sprintf("*%d\r\n", len(words))
	for _, word := range words {
		text += fmt.Sprintf("$%d\r\n%s\r\n", len(word), word)
	}
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatal(err)
	}
}

// answerTo sends a command and returns the reply, with the push messages before it, in a
// comparable form: errors are reduced to their first word, remaining times to whether there
// is one, and hashes and sets are sorted.
func (c *teller) answerTo(command []string) string {
	c.say(command...)
	var all []string
	for {
		said := c.hear()
		all = append(all, said)
		if !strings.HasPrefix(said, ">") || strings.HasSuffix(command[0], "subscribe") {
			break
		}
	}
	answer := strings.Join(all, " ")
	if command[0] == "hscan" || command[0] == "sscan" || command[0] == "zrange" {
		answer = strings.ReplaceAll(answer, "*", "") // pairs may be nested arrays
	}
	switch {
	case command[0] == "pttl" && answer > ":0":
		return "time left"
	case command[0] == "hgetall" || command[0] == "hscan" || command[0] == "sscan":
		words := strings.Split(strings.TrimPrefix(answer, "*"), ",")
		slices.Sort(words)
		return strings.Join(words, ",")
	case strings.HasPrefix(answer, "-"):
		word, _, _ := strings.Cut(answer, " ")
		return word
	}
	return answer
}

// hear reads one RESP value and returns it as text, without the lengths. Maps and sets are
// returned like arrays, which is what they are for scripts and in RESP2.
func (c *teller) hear() string {
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatal(err)
	}
	line = strings.TrimSuffix(line, "\r\n")
	n, _ := strconv.Atoi(line[1:])
	switch kind := line[0]; {
	case n < 0 && kind != ':', kind == '_':
		return "nothing"
	case kind == '$':
		text := make([]byte, n+2)
		if _, err := io.ReadFull(c.r, text); err != nil {
			c.t.Fatal(err)
		}
		return strconv.Quote(string(text[:n]))
	case kind == '*', kind == '~', kind == '%', kind == '>':
		if kind == '%' {
			n *= 2
		}
		elements := make([]string, n)
		for i := range elements {
			elements[i] = c.hear()
		}
		return map[bool]string{true: ">", false: "*"}[kind == '>'] + strings.Join(elements, ",")
	}
	return line
}
