package bench

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidegate/cmd/tidegate/internal/config"
	"tidegate/cmd/tidegate/internal/terminal"
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
	runs       int
	yes, json  bool
}

func (t *target) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&t.urls, "url", nil, "WebSocket `URL` of the gateway (default "+config.EnvPrefix+"URL, or "+config.DefaultURL+"); if given twice, publish at the first and listen at the second")
	t.addCommonFlags(cmd)
	flags.IntSliceVar(&t.watch.pids, "pid", nil, "process `ID` of a gateway on this machine, to measure its CPU time and memory; repeatable")
	flags.StringArrayVar(&t.watch.metrics, "metrics", nil, "metrics `URL` of a gateway, for the same; repeatable")
	flags.BoolVar(&t.compress, "compress", false, "use compression, which the gateway must have enabled")
	cmd.MarkFlagsMutuallyExclusive("pid", "metrics")
}

// addCommonFlags adds the flags that compare has, too.
func (t *target) addCommonFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&t.runs, "runs", t.runs, "number of measurements; the median is printed")
	flags.BoolVar(&t.yes, "yes", false, "allow load on another machine")
	flags.BoolVar(&t.json, "json", false, "print the results of all runs as JSON")
	flags.StringVar(&t.token, "token", "", "token or API key for every session, visible in the process list: prefer "+config.EnvPrefix+"TOKEN")
	flags.StringVar(&t.secretFile, "secret-file", "", "`file` of the gateway's HMAC secret, to sign a token with a different user for each session")
	cmd.MarkFlagsMutuallyExclusive("token", "secret-file")
}

// run measures b on the target and prints the report.
func (t *target) run(cmd *cobra.Command, b benchmark) error {
	if len(t.urls) == 0 {
		t.urls = []string{""} // the default
	}
	site, err := t.siteOf(native, config.GatewayURL, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	return t.report(cmd, b, []*Measured{{Name: "gateway", site: site}})
}

// report measures b on the servers in turn and prints the results.
func (t *target) report(cmd *cobra.Command, b benchmark, servers []*Measured) error {
	if err := errors.Join(b.check(), checkBetween("--runs", t.runs, 1, 100), checkDescriptors(b.sessions())); err != nil {
		return err
	}
	r := Report{Title: b.title(), Servers: servers}
	if err := r.measure(cmd.Context(), b, t.runs); err != nil {
		return err
	}
	return r.print(cmd.OutOrStdout(), t.json)
}

// siteOf returns the site at the target's URLs, which it parses with parse. If details is a
// terminal, the site shows its progress there.
func (t *target) siteOf(a *adapter, parse func(string) (*url.URL, error), details io.Writer) (*site, error) {
	s := &site{adapter: a, watch: t.watch, run: strings.ToLower(rand.Text()[:8]), progress: terminal.NewProgress(details)}
	if len(t.urls) > 2 {
		return nil, errors.New("--url is given more than twice: want one to publish at, and one to listen at")
	}
	for _, address := range t.urls {
		u, err := parse(address)
		if err != nil {
			return nil, err
		}
		if !t.yes && !config.IsLoopback(u.Hostname()) {
			return nil, fmt.Errorf("%s is not on this machine: a benchmark uses all of a gateway's capacity; add --yes if you want that", u.Host)
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
