package ctl

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"tidegate/cmd/tidegate/internal/terminal"
)

func newTopCommand() *cobra.Command {
	t := top{out: os.Stdout, in: os.Stdin}
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Show live how busy the nodes and channels are, and which clients are slow",
		Long: `Show, live, how busy the nodes of a cluster are, its busiest channels and its slowest
sessions; q quits. Rates are per second. LAG is the time from Redis to the client's socket
and REDIS the response time of Redis, both as the 99th percentile. If the output is not a
terminal, and with --once or --json, it measures for one interval, prints the result and
exits. Colours are used on terminals only, and not if NO_COLOR is set.`,
		Example: "  tidegate top\n  tidegate top --once --channels 5",
		Args:    cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error {
			if t.interval < leastInterval {
				return fmt.Errorf("--interval %v: want %v or more", t.interval, leastInterval)
			}
			if t.channels < 0 || t.channels > mostChannels {
				return fmt.Errorf("--channels %d: want 0 to %d", t.channels, mostChannels)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return t.run(cmd.Context()) },
	}
	t.client.addFlags(cmd)
	cmd.Flags().DurationVar(&t.interval, "interval", 2*time.Second, "`time` between measurements")
	cmd.Flags().BoolVar(&t.once, "once", false, "measure for one interval, print the result and exit")
	cmd.Flags().IntVar(&t.channels, "channels", 20, "maximum number of channels and of slow sessions")
	return cmd
}

const (
	leastInterval = 600 * time.Millisecond // nodes asked more often repeat their answer
	mostChannels  = 50
)

// top holds the command line's options.
type top struct {
	client
	in, out  *os.File
	interval time.Duration
	once     bool
	channels int
}

func (t *top) run(ctx context.Context) error {
	watched := !t.once && !t.json && terminal.Is(t.out) && os.Getenv("TERM") != "dumb"
	l, err := t.measure(ctx)
	if err == nil && !(watched && l.measured()) {
		if !wait(ctx, t.interval) {
			return context.Cause(ctx)
		}
		l, err = t.measure(ctx)
	}
	switch {
	case err != nil:
		return err
	case watched:
		return t.watch(ctx, l)
	case t.json:
		_, err = t.out.Write(l.body)
	default:
		_, err = io.WriteString(t.out, strings.Join(plainLines(l.lines(t.channels, 0)), "\n")+"\n")
	}
	return err
}

func wait(ctx context.Context, d time.Duration) (passed bool) {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// watch shows measurements until the user ends it. If the gateway does not answer, it
// says so and goes on.
func (t *top) watch(ctx context.Context, last *load) error {
	s, err := openScreen(t.in, t.out)
	if err != nil {
		return err
	}
	defer s.close()
	ctx, end := context.WithCancel(ctx)
	news := make(chan measurement)
	var measuring sync.WaitGroup
	measuring.Go(func() { t.measureOften(ctx, news) })
	defer measuring.Wait()
	defer end()
	size := time.NewTicker(sizeInterval)
	defer size.Stop()
	var failed error
	for {
		s.draw(func(width, height int) []line { return t.page(last, failed, width, height) })
		for shown := true; shown; {
			select {
			case m := <-news:
				last, failed, shown = cmp.Or(m.load, last), m.err, false
			case <-size.C:
				shown = !s.resized()
			case key := <-s.keys:
				if strings.IndexByte("qQ"+ctrlC+ctrlD, key) >= 0 {
					return nil
				}
			case <-ctx.Done():
				return nil
			}
		}
	}
}

const (
	sizeInterval = 100 * time.Millisecond // between two checks of the terminal's size

	ctrlC = "\x03"
	ctrlD = "\x04"
)

// measurement is the result of one: a load, or an error.
type measurement struct {
	load *load
	err  error
}

// measureOften sends a measurement per interval until ctx ends.
func (t *top) measureOften(ctx context.Context, news chan<- measurement) {
	for wait(ctx, t.interval) {
		l, err := t.measure(ctx)
		select {
		case news <- measurement{l, err}:
		case <-ctx.Done():
		}
	}
}

// page formats a measurement for a screen of the given size.
func (t *top) page(l *load, failed error, width, height int) []line {
	state := line{text: fmt.Sprintf("%s   every %v, q quits", l.at.Format(time.TimeOnly), t.interval)}
	if failed != nil {
		state = line{text: "NO ANSWER since " + l.at.Format(time.TimeOnly) + ": " + terminal.Plain(failed.Error()), mood: bad}
	}
	const others = 2 // the state, and an empty line
	channels := t.channels
	for {
		page := append([]line{state, {}}, l.lines(channels, width)...)
		if len(page) <= height || channels == 0 {
			return page[:min(height, len(page))]
		}
		channels = max(0, channels-max(1, (len(page)-height)/others))
	}
}

// load is the load of the nodes.
type load struct {
	body []byte
	at   time.Time

	Nodes    []nodeLoad
	Channels []struct {
		Channel  string
		Rate     float64
		Sessions int
	}
	Slow []struct {
		Session, Node, User, Transport string
		Waiting                        int
	}
}

type nodeLoad struct {
	Node, Host, Version, Unready string
	Silent                       bool
	Sessions, Slow, Channels     int
	Waiting                      float64
	Since                        int64
	Rates                        *struct {
		Opened, Published, Failed, Received, Delivered, Bytes, Lag float64
		RoundTrip                                                  float64 `json:"round_trip"`
	}
}

func (t *top) measure(ctx context.Context) (*load, error) {
	query := url.Values{"most": {strconv.Itoa(t.channels)}}
	body, err := t.ask(ctx, request{method: http.MethodGet, path: "load", query: query})
	if err != nil {
		return nil, err
	}
	l := &load{body: body, at: time.Now()}
	if err := decode(body, l); err != nil {
		return nil, err
	}
	return l, nil
}

// measured reports whether all nodes that have answered have measured rates.
func (l *load) measured() bool {
	return !slices.ContainsFunc(l.Nodes, func(n nodeLoad) bool { return n.Rates == nil && !n.Silent })
}

// lines returns the tables, with at most most channels and most slow sessions, fitted to
// width; 0 means as wide as necessary.
func (l *load) lines(most, width int) []line {
	var sessions int
	var published, delivered float64
	for _, n := range l.Nodes {
		sessions += n.Sessions
		if n.Rates != nil {
			published += n.Rates.Published
			delivered += n.Rates.Delivered
		}
	}
	all := []line{{text: fmt.Sprintf("%s, %s, %s published and %s delivered a second",
		oneOrMore(len(l.Nodes), "node"), oneOrMore(sessions, "session"), short(published), short(delivered))}, {}}
	all = append(all, l.nodeLines(width)...)
	if channels := l.Channels[:min(most, len(l.Channels))]; len(channels) > 0 {
		all = append(all, line{})
		all = append(all, tableLines(width, "CHANNEL MESSAGES/s SESSIONS", func(row func(...any)) {
			for _, c := range channels {
				row(c.Channel, short(c.Rate), c.Sessions)
			}
		}, func(int) mood { return good })...)
	}
	if slow := l.Slow[:min(most, len(l.Slow))]; len(slow) > 0 {
		all = append(all, line{})
		all = append(all, tableLines(width, "SLOW-SESSION NODE USER TRANSPORT WAITING", func(row func(...any)) {
			for _, s := range slow {
				row(s.Session, s.Node, cmp.Or(s.User, "-"), s.Transport, shortBytes(float64(s.Waiting)))
			}
		}, func(int) mood { return odd })...)
	}
	return all
}

func (l *load) nodeLines(width int) []line {
	return tableLines(width, "NODE STATE SESSIONS IN/s OUT/s LAG SLOW PUB/s FAIL/s REDIS WAITING BYTES/s NEW/s CHANNELS UP HOST VERSION", func(row func(...any)) {
		for _, n := range l.Nodes {
			cells := []any{n.Node, n.state(), n.Sessions, "-", "-", "-", n.Slow, "-", "-", "-", shortBytes(n.Waiting), "-", "-", n.Channels, since(n.Since), cmp.Or(n.Host, "-"), n.Version}
			if r := n.Rates; r != nil {
				cells[3], cells[4], cells[5] = short(r.Received), short(r.Delivered), milliseconds(r.Lag)
				cells[7], cells[8], cells[9] = short(r.Published), short(r.Failed), milliseconds(r.RoundTrip)
				cells[11], cells[12] = shortBytes(r.Bytes), short(r.Opened)
			}
			row(cells...)
		}
	}, func(i int) mood { return l.Nodes[i].mood() })
}

func (n *nodeLoad) state() string {
	switch {
	case n.Silent:
		return "NO ANSWER"
	case n.Unready == "draining":
		return "draining"
	case n.Unready != "":
		return "NOT READY"
	}
	return "ready"
}

const oddLag = 250 // milliseconds

func (n *nodeLoad) mood() mood {
	switch {
	case n.Silent || n.Unready != "":
		return bad
	case n.Slow > 0 || n.Rates != nil && (n.Rates.Failed > 0 || n.Rates.Lag >= oddLag):
		return odd
	}
	return good
}

func milliseconds(n float64) string {
	if n == 0 {
		return "-"
	}
	return (time.Duration(n*1000) * time.Microsecond).String()
}

// short returns a number with at most five characters, up to millions.
func short(n float64) string { return scaled(n, 1000, "", "k", "M", "G") }

func shortBytes(n float64) string { return scaled(n, 1024, "B", "KiB", "MiB", "GiB") }

func scaled(n, step float64, units ...string) string {
	unit := 0
	for n >= step-0.5 && unit < len(units)-1 {
		n /= step
		unit++
	}
	precision := 0
	if n < 9.95 && n != float64(int(n)) {
		precision = 1
	}
	return strconv.FormatFloat(n, 'f', precision, 64) + units[unit]
}
