package broker

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// publication is one message on its way to Redis. Once it is answered, its memory is reused
// for another message.
type publication struct {
	// Immutable while it is on its way.
	channel  string
	command  *redis.Cmd
	script   bool   // whether command runs the append script
	vouched  int    // where the arguments of the script are that depend on the connection
	envelope []byte // the envelope that command publishes without a script; setMark completes it
	replicas int    // how many must confirm
	deadline time.Time
	done     func(Position, error)

	// Guarded by the lane's mu.
	answered bool // whoever sets it calls done
	attempts int  // how often it went to a wrong master

	text      []byte      // memory of the arguments
	arguments [8]argument // those arguments of command that differ between publications
	said      int         // how many of arguments are in use
}

// argument is an argument of a command. go-redis writes the text of a *argument without
// allocating.
type argument struct{ text []byte }

// MarshalBinary returns the text. It implements encoding.BinaryMarshaler.
func (a *argument) MarshalBinary() ([]byte, error) { return a.text, nil }

// say makes the command that publishes m. prefix is that of its partition.
func (p *publication) say(s *servers, prefix string, m *Message, o PublishOptions) {
	p.channel, m.Position = m.Channel, Position{}
	name := p.add(append(append(p.text, prefix...), m.Channel...))
	if p.script {
		p.sayAppend(s, name, m, o)
		return
	}
	list := [...]any{s.publishCommand(), p.argument(name), nil}
	if o.Bare && !passesForEnvelope(m.Payload) {
		list[2] = p.argument(m.Payload)
	} else {
		if o.Bare {
			*m = m.Bare()
		}
		p.envelope = p.add(appendUnmarked(p.text, *m))
		list[2] = p.argument(p.envelope)
	}
	p.run(list[:])
}

var appendHash any = redis.NewScript(AppendScript).Hash()

// sayAppend makes the command that runs AppendScript by its hash. It leaves room for
// ARGV[6] to ARGV[9], which depend on the connection: see voucher.
func (p *publication) sayAppend(s *servers, name []byte, m *Message, o PublishOptions) {
	list := append(make([]any, 0, 20), "evalsha", appendHash, 3, p.argument(name),
		p.argument(p.add(append(append(p.text, name...), metaSuffix...))),
		p.argument(p.add(appendEraKey(p.text, name, s.clustered))))
	if m.Key != "" {
		list[2] = 4
		list = append(list, p.argument(p.add(append(append(append(p.text, name...), " key "...), m.Key...))))
	}
	bare := o.Bare && o.HistorySize == 0
	if bare && passesForEnvelope(m.Payload) {
		*m, bare = m.Bare(), false
	}
	var header []byte
	if !bare {
		header = p.add(appendHeader(p.text, *m))
	}
	list = append(list, p.argument(m.Payload),
		p.argument(p.add(strconv.AppendInt(p.text, int64(o.HistorySize), 10))),
		p.argument(p.add(strconv.AppendInt(p.text, o.HistoryTTL.Milliseconds(), 10))),
		p.argument(header), s.publishCommand())
	p.vouched = len(list)
	list = list[:len(list)+vouched]
	if o.Replicas > 0 {
		list = append(list, "replicated")
	}
	p.run(list)
}

// add takes p.text with something appended, and returns what was appended.
func (p *publication) add(text []byte) []byte {
	before := len(p.text)
	p.text = text
	return text[before:len(text):len(text)]
}

func (p *publication) argument(text []byte) *argument {
	a := &p.arguments[p.said]
	p.said++
	a.text = text
	return a
}

// size returns the bytes of the arguments that differ between publications.
func (p *publication) size() (n int) {
	for i := range p.arguments[:p.said] {
		n += len(p.arguments[i].text)
	}
	return n
}

// run makes a command of list.
func (p *publication) run(list []any) {
	if p.command != nil && len(p.command.Args()) == len(list) {
		copy(p.command.Args(), list)
		return
	}
	p.command = redis.NewCmd(context.Background(), slices.Clone(list)...)
}

// result returns the answer of Redis, or the given error if it is not nil.
func (p *publication) result(err error) (Position, error) {
	var position Position
	if err == nil {
		err = p.command.Err()
	}
	if err == nil && p.script {
		var told string
		if told, err = p.command.Text(); err == nil {
			cursor, _, _ := strings.Cut(told, " ")
			position, err = ParsePosition(cursor)
		}
	}
	if err != nil {
		return Position{}, notPublished(p.channel, err)
	}
	return position, nil
}

// spares holds publications for reuse. All methods are safe for concurrent use.
type spares struct{ live, script sync.Pool } // of *publication

const longText = 4 << 10 // larger memory is not kept for reuse

func (s *spares) of(script bool) *sync.Pool {
	if script {
		return &s.script
	}
	return &s.live
}

func (s *spares) take(script bool) *publication {
	p, ok := s.of(script).Get().(*publication)
	if !ok {
		p = &publication{script: script}
	}
	return p
}

// give takes back publications to which nobody has a reference any more.
func (s *spares) give(batch []*publication) {
	for _, p := range batch {
		if cap(p.text) > longText {
			p.text = nil
		}
		p.command.SetVal(nil)
		*p = publication{command: p.command, script: p.script, text: p.text[:0]}
		s.of(p.script).Put(p)
	}
}
