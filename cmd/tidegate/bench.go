package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tidegate/cmd/tidegate/internal/config"
	"tidegate/gateway/auth"
)

// benchPrefix begins the names of all channels that a benchmark uses.
const benchPrefix = "bench:"

func newBenchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a gateway under load, by its public protocol",
		Long: `Measure a gateway under load, by the protocol that every client speaks. What it
asks of the gateway: a rule for channels that begin with "bench:", without history
unless that is to be measured, and limits.commands_per_second: 0.

  channels: [{match: "bench:*", subscribe: anyone, publish: anyone}]
  limits: {commands_per_second: 0}

CPU and memory are those of the gateway alone: give --pid of a process on this
machine, or --metrics for one anywhere. With --floor the same load is put first on
a server that does nothing but one write(2) for each delivery, so that what the
gateway costs can be told from what the machine costs.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(newBenchFanOutCommand(), newBenchRoomsCommand(), newBenchLatencyCommand(),
		newBenchPublishCommand(), newBenchIdleCommand(), newBenchConnectCommand(), newBenchFloorCommand())
	return cmd
}

// benchTarget is which gateway a command line wants measured, and how it is to be
// reached and watched.
type benchTarget struct {
	urls       []string
	token      string
	secretFile string
	watch      benchWatch
	compress   bool
	floor      bool
	floorRedis string
	yes, json  bool
}

func (t *benchTarget) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&t.urls, "url", []string{defaultURL}, "WebSocket `URL` of the gateway; given twice: publish at the first, listen at the second")
	flags.StringVar(&t.token, "token", "", "token or API key for every session, visible to whoever lists processes: better "+config.EnvPrefix+"TOKEN")
	flags.StringVar(&t.secretFile, "secret-file", "", "`file` of the gateway's HMAC secret, to sign a token for a user of each session's own")
	flags.IntSliceVar(&t.watch.pids, "pid", nil, "process `id` of a gateway on this machine, to read its CPU and memory; repeat for more")
	flags.StringArrayVar(&t.watch.metrics, "metrics", nil, "metrics `URL` of a gateway, for the same; repeat for more")
	flags.BoolVar(&t.compress, "compress", false, "let the gateway compress messages, which needs its compression.enabled; floors do not")
	flags.BoolVar(&t.floor, "floor", false, "measure a server of one write(2) for each delivery as well, and print ratios")
	flags.StringVar(&t.floorRedis, "floor-redis", "", "Redis `URL` through which two floors reach each other")
	flags.BoolVar(&t.yes, "yes", false, "put load on a gateway that is not on this machine")
	flags.BoolVar(&t.json, "json", false, "print JSON")
	cmd.MarkFlagsMutuallyExclusive("token", "secret-file")
	cmd.MarkFlagsMutuallyExclusive("pid", "metrics")
}

// benchSite is what a benchmark works on: one gateway, or several of one cluster.
type benchSite struct {
	urls      []*url.URL
	tokenOf   func(session int) (string, error)
	watch     benchWatch
	progress  *benchProgress
	inflaters *benchInflaters // nil: nothing is to be compressed
	run       string          // is in the names of the channels, so that runs do not meet
}

// publishAt and listenAt are the same gateway unless there are two.
func (s *benchSite) publishAt() *url.URL { return s.urls[0] }
func (s *benchSite) listenAt() *url.URL  { return s.urls[len(s.urls)-1] }

func (s *benchSite) channel(i int) string { return fmt.Sprintf("%s%s:%d", benchPrefix, s.run, i) }

// benchmark measures one thing.
type benchmark interface {
	check() error
	sessions() int
	title() string
	measure(context.Context, *benchSite) (*benchResult, error)
}

// run measures b on the target, after the floor if that is wanted, and prints
// what came out.
func (t *benchTarget) run(cmd *cobra.Command, b benchmark) error {
	site, err := t.site(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if err := errors.Join(b.check(), checkDescriptors(b.sessions())); err != nil {
		return err
	}
	report := benchReport{Title: b.title()}
	if t.floor {
		if report.Floor, err = t.measureFloor(cmd.Context(), b, site); err != nil {
			return fmt.Errorf("the floor: %w", err)
		}
	}
	report.Gateway, err = b.measure(cmd.Context(), site)
	site.progress.clear()
	if err != nil {
		return err
	}
	return report.print(cmd.OutOrStdout(), t.json)
}

func (t *benchTarget) site(details io.Writer) (*benchSite, error) {
	s := &benchSite{watch: t.watch, run: strings.ToLower(rand.Text()[:8]), progress: &benchProgress{}}
	if f, ok := details.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		s.progress.out = f
	}
	if len(t.urls) > 2 {
		return nil, errors.New("--url is given more than twice: the first is to publish at, the second to listen at")
	}
	for _, address := range t.urls {
		complete, err := gatewayURL(address)
		if err != nil {
			return nil, err
		}
		u, err := url.Parse(complete)
		if err != nil {
			return nil, err
		}
		if !t.yes && !isLoopback(u.Hostname()) {
			return nil, fmt.Errorf("%s is not on this machine: a benchmark takes all that a gateway has; give --yes if that is what you want", u.Host)
		}
		s.urls = append(s.urls, u)
	}
	if t.compress {
		s.inflaters = &benchInflaters{}
	}
	var err error
	s.tokenOf, err = t.tokens()
	return s, err
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

// tokens returns what gives each session its token.
func (t *benchTarget) tokens() (func(int) (string, error), error) {
	if t.secretFile == "" {
		token := cmp.Or(t.token, os.Getenv(config.EnvPrefix+"TOKEN"))
		return func(int) (string, error) { return token, nil }, nil
	}
	text, err := config.SecretFile(t.secretFile)
	if err != nil {
		return nil, err
	}
	key, err := auth.NewSigningSecret(string(text))
	if err != nil {
		return nil, err
	}
	expires := time.Now().Add(time.Hour)
	return func(session int) (string, error) {
		return auth.Sign(auth.Claims{
			User: fmt.Sprintf("bench-%d", session), Expires: expires,
			Subscribe: []string{benchPrefix + "*"}, Publish: []string{benchPrefix + "*"},
		}, key, "")
	}, nil
}
