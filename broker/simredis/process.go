package simredis

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/proto"
	miniserver "github.com/alicebob/miniredis/v2/server"
)

// process is one process of a server. Its methods must not be called concurrently.
type process struct {
	data    *miniredis.Miniredis
	runID   string
	now     func() time.Time
	writes  []write // all writes that led to the data
	doing   int     // number of the client's command that is being executed
	wrote   int     // number of the last command that has written
	hearers hearers
	scripts scripts
	refusal string         // the error for all writes; empty if they are allowed
	hidden  map[string]int // how many of 100 reads fail, by key; "" stands for all streams
	random  *rand.Rand     // decides which
	replica bool
}

// begin returns a process with the data of a mark.
func begin(runID string, seed uint64, from Mark, now func() time.Time) *process {
	s := &process{
		runID: runID, now: now, writes: slices.Clip(from.writes), hearers: hearers{}, scripts: scripts{},
		hidden: make(map[string]int), random: rand.New(rand.NewPCG(seed, 2)),
	}
	s.data = load(seed, s.writes)
	s.data.SetTime(now())
	s.data.Keys() // removes the keys that have expired since the last write
	s.data.Server().SetPreHook(s.intercept)
	return s
}

// load returns a miniredis with the data that the writes result in.
func load(seed uint64, writes []write) *miniredis.Miniredis {
	data := miniredis.NewMiniRedis()
	conn, err := data.Dial() // starts it
	if err != nil {
		panic(err) // cannot fail, since it opens no socket
	}
	conn.Close()
	data.Seed(int(seed))
	data.ClockTTL(true)
	replay := newParser(&bytes.Buffer{})
	for _, w := range writes {
		data.SetTime(w.at)
		data.Server().Dispatch(replay, w.command)
	}
	return data
}

// run executes a command and returns the reply.
func (s *process) run(p *peer, command []string) string {
	if len(command) == 2 && strings.EqualFold(command[0], "HGETALL") && s.unreadable(command[1]) {
		return proto.Error(unread)
	}
	if do := ownCommands[strings.ToUpper(command[0])]; do != nil {
		return do(s, p, command)
	}
	return s.ask(p, command)
}

// unread is the error of reads that fail.
const unread = "NOPERM this user has no permissions to access one of the keys used as arguments"

// unreadable reports whether a read of one of the keys fails now.
func (s *process) unreadable(keys ...string) bool {
	for _, key := range keys {
		if s.hidden[key] > 0 && s.random.IntN(100) < s.hidden[key] {
			return true
		}
	}
	return false
}

// ownCommands are the commands that miniredis does not have, or whose implementation there
// does not suit this model. Each returns the reply.
var ownCommands = map[string]func(s *process, p *peer, command []string) string{
	"HELLO":       (*process).hello,
	"SUBSCRIBE":   func(s *process, p *peer, command []string) string { return s.hearers.subscribe(p, command) },
	"UNSUBSCRIBE": func(s *process, p *peer, command []string) string { return s.hearers.unsubscribe(p, command) },
	"PUBLISH":     (*process).publish,
	"EVAL":        (*process).eval,
	"EVALSHA":     (*process).eval,
	"SCRIPT":      (*process).loadScript,
	"WAIT":        func(*process, *peer, []string) string { return proto.Int(0) },
}

// hello executes HELLO, which selects the protocol version of the connection.
func (s *process) hello(p *peer, command []string) string {
	if len(command) < 2 || command[1] != "2" && command[1] != "3" {
		return proto.Error("NOPROTO unsupported protocol version")
	}
	role := "master"
	if s.replica {
		role = "replica"
	}
	encode := proto.StringMap
	if p.parser.Resp3 = command[1] == "3"; !p.parser.Resp3 {
		encode = proto.Strings
	}
	return encode("server", "redis", "version", "7.2.0", "proto", command[1], "id", "1", "mode", "standalone", "role", role)
}

// info returns the reply to INFO, which is the same for all sections.
func (s *process) info() string {
	role := "master"
	if s.replica {
		role = "slave"
	}
	return fmt.Sprintf("# Server\r\nredis_version:7.2.0\r\nrun_id:%s\r\n# Replication\r\nrole:%s\r\nconnected_slaves:0\r\n", s.runID, role)
}

func (s *process) publish(_ *peer, command []string) string {
	if len(command) != 3 {
		return wrongNumber(command)
	}
	return proto.Int(s.hearers.publish(command[1], command[2]))
}

func wrongNumber(command []string) string {
	return proto.Error(fmt.Sprintf("ERR wrong number of arguments for '%s' command", strings.ToLower(command[0])))
}

// eval executes EVAL and EVALSHA.
func (s *process) eval(p *peer, command []string) string {
	if len(command) < 3 {
		return wrongNumber(command)
	}
	script, known := s.scripts.find(command)
	if !known {
		return proto.Error("NOSCRIPT No matching script. Please use EVAL.")
	}
	return asInRedis(s.ask(p, append([]string{"EVAL", jsonLua + script}, command[2:]...)))
}

func (s *process) loadScript(_ *peer, command []string) string {
	if len(command) != 3 || !strings.EqualFold(command[1], "LOAD") {
		return proto.Error("ERR unknown subcommand or wrong number of arguments")
	}
	return proto.String(s.scripts.keep(command[2]))
}

// ask executes a command with miniredis and returns the reply.
func (s *process) ask(p *peer, command []string) string {
	p.answer.Reset()
	s.doing++
	s.data.SetTime(s.now())
	s.data.Server().Dispatch(p.parser, command)
	p.parser.Flush()
	return p.answer.String()
}

// intercept is the hook that miniredis calls before each command, including those of scripts.
// It records writes. It reports whether it has replied, in which case miniredis does not
// execute the command.
func (s *process) intercept(to *miniserver.Peer, command string, args ...string) bool {
	switch {
	case command == "PUBLISH":
		to.WriteInt(s.hearers.publish(args[0], args[1]))
	case command == "INFO":
		to.WriteBulk(s.info())
	case (command == "XRANGE" || command == "XREVRANGE") && s.unreadable("", args[0]):
		to.WriteError(unread)
	case !writing[command]:
		return false
	case s.refusal != "" && s.wrote != s.doing && !(freeing[command] && !s.replica):
		to.WriteError(s.refusal)
	default:
		s.wrote = s.doing // from now on, this command may write even if writes are refused
		s.writes = append(s.writes, write{s.now(), append([]string{command}, args...), s.doing})
		return false
	}
	return true
}

// writing is the set of the broker's commands that write.
var writing = map[string]bool{
	"SET": true, "INCR": true, "DEL": true, "PEXPIRE": true, "PERSIST": true, "HSET": true, "HDEL": true, "XADD": true,
	"XTRIM": true, "SADD": true, "SREM": true, "ZADD": true, "ZREM": true, "FLUSHALL": true, "FLUSHDB": true,
}

// freeing is the set of those that Redis accepts when it is out of memory.
var freeing = map[string]bool{
	"DEL": true, "PEXPIRE": true, "PERSIST": true, "HDEL": true, "XTRIM": true, "SREM": true, "ZREM": true,
	"FLUSHALL": true, "FLUSHDB": true,
}
