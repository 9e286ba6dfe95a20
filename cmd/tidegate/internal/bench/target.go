package bench

import (
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

// target has the flags that tell which gateway to measure, how to connect to it, and where to
// read its CPU and memory.
type target struct {
	urls       []string
	token      string
	secretFile string
	watch      meter
	compress   bool
	floor      bool
	floorRedis string
	yes, json  bool
}

func (t *target) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&t.urls, "url", []string{config.DefaultURL}, "WebSocket `URL` of the gateway; given twice: publish at the first, listen at the second")
	t.addTokenFlags(cmd)
	flags.IntSliceVar(&t.watch.pids, "pid", nil, "process `id` of a gateway on this machine, to read its CPU and memory; repeat for more")
	flags.StringArrayVar(&t.watch.metrics, "metrics", nil, "metrics `URL` of a gateway, for the same; repeat for more")
	flags.BoolVar(&t.compress, "compress", false, "let the gateway compress messages, which needs its compression.enabled; floors do not")
	flags.BoolVar(&t.floor, "floor", false, "measure a server of one write(2) for each delivery as well, and print ratios")
	flags.StringVar(&t.floorRedis, "floor-redis", "", "Redis `URL` through which two floors reach each other")
	flags.BoolVar(&t.yes, "yes", false, "put load on a gateway that is not on this machine")
	flags.BoolVar(&t.json, "json", false, "print JSON")
	cmd.MarkFlagsMutuallyExclusive("pid", "metrics")
}

// addTokenFlags adds the flags for how the sessions authenticate.
func (t *target) addTokenFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&t.token, "token", "", "token or API key for every session, visible in the process list: prefer "+config.EnvPrefix+"TOKEN")
	flags.StringVar(&t.secretFile, "secret-file", "", "`file` of the gateway's HMAC secret, to sign a token for a user of each session's own")
	cmd.MarkFlagsMutuallyExclusive("token", "secret-file")
}

// run measures b on the floor, if requested, and then on the target, and prints the report.
func (t *target) run(cmd *cobra.Command, b benchmark) error {
	site, err := t.siteOf(native, config.GatewayURL, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if err := errors.Join(b.check(), checkDescriptors(b.sessions())); err != nil {
		return err
	}
	report := Report{Title: b.title()}
	if t.floor {
		if report.Floor, err = measureFloor(cmd.Context(), b, site, t.floorRedis); err != nil {
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

// siteOf returns the site at the target's URLs, which it parses with parse. If details is a
// terminal, the site shows its progress there.
func (t *target) siteOf(a *adapter, parse func(string) (*url.URL, error), details io.Writer) (*site, error) {
	s := &site{adapter: a, watch: t.watch, run: strings.ToLower(rand.Text()[:8]), progress: &progress{}}
	if f, ok := details.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		s.progress.out = f
	}
	if len(t.urls) > 2 {
		return nil, errors.New("--url is given more than twice: the first is to publish at, the second to listen at")
	}
	for _, address := range t.urls {
		u, err := parse(address)
		if err != nil {
			return nil, err
		}
		if !t.yes && !isLoopback(u.Hostname()) {
			return nil, fmt.Errorf("%s is not on this machine: a benchmark takes all that a gateway has; give --yes if that is what you want", u.Host)
		}
		s.urls = append(s.urls, u)
	}
	if t.compress {
		s.inflaters = &inflaters{}
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

// tokens returns a function that returns the token of a session.
func (t *target) tokens() (func(int) (string, error), error) {
	if t.secretFile == "" {
		token := config.Token(t.token)
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
			Subscribe: []string{channelPrefix + "*"}, Publish: []string{channelPrefix + "*"},
		}, key, "")
	}, nil
}
