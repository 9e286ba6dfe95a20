package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"tidegate/cmd/tidegate/internal/config"
	"tidegate/cmd/tidegate/internal/terminal"
)

func newServeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a gateway (the default)",
		Long: `Run a gateway. Every setting has one name: redis.url in the file is
TIDEGATE_REDIS_URL in the environment and --redis-url here; the later one wins.

Without channel rules, and if only this machine can reach it, it is a development gateway:
everyone may do everything.

SIGHUP reloads rules, keys and apps. SIGTERM and SIGINT drain the node: it fails /readyz at
once and disconnects its sessions over drain.window. A second signal stops it at once.`,
		Example: "  tidegate serve --config tidegate.yaml\n  tidegate serve --redis-url redis://127.0.0.1:6379",
		Args:    cobra.NoArgs,
	}
	source := config.NewSource(cmd.Flags(), os.Environ(), config.Names()...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return serve(cmd.Context(), source, os.Stderr, func(*node) {})
	}
	return cmd
}

// serve runs a node until ctx ends and its sessions have left. It calls bound once the
// listeners accept connections; bound must not block.
func serve(ctx context.Context, s *config.Source, stderr *os.File, bound func(*node)) error {
	c, warnings, err := load(s)
	if err != nil {
		return err
	}
	log := newLog(c.Log, stderr)
	logWarnings(warnings, log)
	limitMemory(c, log)
	n, err := newNode(c, log)
	if err != nil {
		return err
	}
	stop := n.reloadOnSignal(s)
	defer stop()
	if terminal.Is(stderr) {
		n.greet(stderr)
	} else {
		n.logPlaces()
	}
	bound(n)
	if err := n.run(ctx); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// limitMemory sets the garbage collector's memory limit to the most memory that the
// configured limits allow, unless GOMEMLIMIT is set or something is unlimited.
func limitMemory(c *config.Config, log *slog.Logger) {
	most, unbounded := c.Memory().Process()
	if os.Getenv("GOMEMLIMIT") != "" || len(unbounded) > 0 {
		return
	}
	debug.SetMemoryLimit(most)
	log.Debug("memory is bounded by the limits", "bytes", most)
}

// load returns a valid configuration with warnings, or an error with all problems.
func load(s *config.Source) (c *config.Config, warnings []string, err error) {
	c, warnings, err = s.Load()
	if problems := (config.Problems)(nil); errors.As(err, &problems) {
		err = fmt.Errorf("the configuration is not valid:\n%w", err)
	}
	return c, warnings, err
}

func newLog(c config.Log, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// greet shows a user at a terminal where to look.
func (n *node) greet(w io.Writer) {
	fmt.Fprintf(w, "\n  Tidegate %s\n\n", versionName())
	if n.config.Development() {
		fmt.Fprintf(w, "  development: everything is allowed, to this machine only\n")
	}
	fmt.Fprintf(w, "  messages     %s\n", brokerSummary(n.config))
	fmt.Fprintf(w, "  console      %s\n", n.public.url("http", "/"))
	fmt.Fprintf(w, "  WebSocket    %s\n", n.public.url("ws", "/ws"))
	fmt.Fprintf(w, "  metrics      %s\n", n.internal.url("http", "/metrics"))
	if n.config.Development() {
		fmt.Fprintf(w, "\n  Try: new WebSocket(%q).onmessage = e => console.log(e.data)\n", n.public.url("ws", "/raw/"+clockChannel))
		fmt.Fprintf(w, "  in the JavaScript console of that page.\n")
	}
	fmt.Fprintln(w)
}

// logPlaces logs the same.
func (n *node) logPlaces() {
	n.log.Info("serving", "version", versionName(), "node", n.gateway.Node(), "broker", brokerSummary(n.config),
		"console", n.public.url("http", "/"), "websocket", n.public.url("ws", "/ws"),
		"metrics", n.internal.url("http", "/metrics"))
	if n.config.Development() {
		n.log.Warn("development: no rules are configured, so everything is allowed, to this machine only")
	}
}

// reloadOnSignal reloads the configuration on each SIGHUP until stop is called.
func (n *node) reloadOnSignal(s *config.Source) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range hangups {
			n.reload(s)
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(hangups)
		<-done
	}
}

// reload applies the rules, keys and apps of the configuration. If it is not valid,
// nothing changes.
func (n *node) reload(s *config.Source) {
	c, warnings, err := load(s)
	if err == nil && c.Development() != n.config.Development() {
		err = errors.New("to begin or to end development takes a restart")
	}
	if err != nil {
		n.log.Error("reload: rules and keys stay as they are", "error", err)
		return
	}
	logWarnings(warnings, n.log)
	if err := n.apply(c); err != nil { // load has checked it
		n.log.Error("reload: not everything could be applied", "error", err)
		return
	}
	n.log.Info("reloaded rules and keys; other settings take a restart", "rules", len(c.Rules), "api_keys", len(c.Auth.APIKeys), "apps", len(c.Pusher.Apps))
}

// apply applies what a reload can change, until something fails: rules that were written for new
// keys must not hold with the old ones.
func (n *node) apply(c *config.Config) error {
	if err := n.auth.SetConfig(c.Trust()); err != nil {
		return err
	}
	if err := n.apps.Set(c.Pusher.List()); err != nil {
		return err
	}
	n.gateway.SetReceivers(n.webhooks.Receivers())
	n.gateway.DropKeys(n.auth.Holds)
	return n.gateway.SetRules(c.Gateway().Rules)
}

func logWarnings(warnings []string, log *slog.Logger) {
	for _, odd := range warnings {
		log.Warn(odd)
	}
}
