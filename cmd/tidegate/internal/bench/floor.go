package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
)

func newFloorCommand() *cobra.Command {
	var f floor
	var listen, redisURL string
	cmd := &cobra.Command{
		Use:   "floor",
		Short: "Run the minimal server that --floor compares with",
		Long: `Run the minimal server that --floor compares with. It understands only the commands that
the benchmarks send. For each delivery, the goroutine that has read the publication makes
one write(2) call. There are no rules and no limits.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.serve(cmd.Context(), listen, redisURL, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "`address` to listen on")
	cmd.Flags().StringVar(&redisURL, "redis-url", "", "Redis `URL` to publish through, so that several floors reach each other")
	return cmd
}

// floor is a minimal server that makes one write(2) call per delivery. Its cost is the lower
// bound that gateways are compared with.
type floor struct {
	redis *redis.Client // nil if there is only one floor

	mu       sync.Mutex                 // held while a publication is written
	channels map[string][]*floorSession // guarded by mu
}

// floorSession is a client's connection to the floor.
type floorSession struct {
	floor  *floor
	conn   net.Conn
	reader *bufio.Reader
	frame  []byte
}

// serve prints the floor's URL to out and serves clients until ctx ends.
func (f *floor) serve(ctx context.Context, listen, redisURL string, out io.Writer) error {
	f.channels = map[string][]*floorSession{}
	var working sync.WaitGroup
	defer working.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if redisURL != "" {
		relayed, err := f.joinRedis(ctx, redisURL)
		if err != nil {
			return err
		}
		working.Go(relayed)
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { l.Close() })
	fmt.Fprintf(out, "ws://%s/ws\n", l.Addr())
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		context.AfterFunc(ctx, func() { conn.Close() })
		working.Go(func() { f.talk(conn) })
	}
}

const floorPrefix = "tidegate-floor:"

// joinRedis subscribes to the publications of all floors. It returns a function that
// delivers them until ctx ends.
func (f *floor) joinRedis(ctx context.Context, redisURL string) (func(), error) {
	options, err := redis.ParseURL(redisURL)
	if err != nil {
		return nil, err
	}
	f.redis = redis.NewClient(options)
	all := f.redis.PSubscribe(ctx, floorPrefix+"*")
	if _, err := all.Receive(ctx); err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { all.Close(); f.redis.Close() })
	return func() {
		for {
			m, err := all.ReceiveMessage(ctx)
			if err != nil {
				return
			}
			f.deliver(strings.TrimPrefix(m.Channel, floorPrefix), []byte(m.Payload))
		}
	}, nil
}

// talk serves one client until its connection ends.
func (f *floor) talk(conn net.Conn) {
	defer conn.Close()
	s := &floorSession{floor: f, conn: conn, reader: bufio.NewReaderSize(conn, 2<<10)}
	if s.shakeHands() == nil {
		for s.next() == nil {
		}
	}
	f.forget(s)
}

func (s *floorSession) shakeHands() error {
	if _, err := http.ReadRequest(s.reader); err != nil {
		return err
	}
	_, err := io.WriteString(s.conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
	s.say([]byte(`{"type":"welcome"}`))
	return err
}

// next reads and executes one command. It does not unmask, because the clients of
// benchmarks use the masking key 0.
func (s *floorSession) next() error {
	head, err := s.reader.Peek(4)
	if err != nil {
		return err
	}
	header, size := 2, int(head[1]&0x7f)
	if size == 126 {
		header, size = 4, int(binary.BigEndian.Uint16(head[2:]))
	}
	if size == 127 || head[0]&0x0f != textFrame {
		return errors.New("not for the floor")
	}
	if _, err := s.reader.Discard(header + 4); err != nil {
		return err
	}
	s.frame = append(s.frame[:0], make([]byte, size)...)
	if _, err := io.ReadFull(s.reader, s.frame); err != nil {
		return err
	}
	return s.do(s.frame)
}

func (s *floorSession) do(command []byte) error {
	_, rest, _ := bytes.Cut(command, []byte(`"channel":"`))
	name, rest, _ := bytes.Cut(rest, []byte(`"`))
	_, data, isPublish := bytes.Cut(rest, []byte(`"data":`))
	if !isPublish {
		s.floor.add(string(name), s)
		s.say([]byte(`{"type":"subscribed","id":1}`))
		return nil
	}
	if bytes.HasPrefix(command, []byte(`{"type":"publish","id":1`)) {
		s.say([]byte(`{"type":"published","id":1}`))
	}
	return s.floor.publish(string(name), bytes.TrimSuffix(data, []byte("}")))
}

func (f *floor) publish(channel string, data []byte) error {
	text := fmt.Appendf(nil, `{"type":"message","channel":"%s","data":%s}`, channel, data)
	frame := serverFrame(text)
	if f.redis != nil {
		return f.redis.Publish(context.Background(), floorPrefix+channel, frame).Err()
	}
	f.deliver(channel, frame)
	return nil
}

// deliver writes the frame to each subscriber of the channel. This is the work that the
// floor measures.
func (f *floor) deliver(channel string, frame []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.channels[channel] {
		_, _ = s.conn.Write(frame) // if it fails, the session's goroutine gets an error, too
	}
}

func (f *floor) add(channel string, s *floorSession) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.channels[channel] = append(f.channels[channel], s)
}

// forget removes a session from all channels.
func (f *floor) forget(gone *floorSession) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, sessions := range f.channels {
		f.channels[name] = slices.DeleteFunc(sessions, func(s *floorSession) bool { return s == gone })
	}
}

func (s *floorSession) say(text []byte) { _, _ = s.conn.Write(serverFrame(text)) }
