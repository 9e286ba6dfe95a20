package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func newServeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a gateway (the default)",
		Long: `Run a gateway. Every setting has one name: redis.url in the file is
TIDEGATE_REDIS_URL in the environment and --redis-url here; the later wins.

Without rules (channels) and reachable from this machine only it is a development
gateway: everything is allowed to everyone.

SIGHUP reads rules and keys anew. SIGTERM and SIGINT drain: the node is not ready
at once, and sends its sessions away over drain.window. A second one ends at once.`,
		Example: "  tidegate serve --config tidegate.yaml\n  tidegate serve --redis-url redis://127.0.0.1:6379",
		Args:    cobra.NoArgs,
	}
	source := newSource(cmd.Flags(), os.Environ())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return serve(cmd.Context(), source, os.Stderr)
	}
	return cmd
}

// serve runs a node until ctx ends and its sessions have left.
func serve(ctx context.Context, s *source, stderr *os.File) error {
	c, err := s.load()
	if err != nil {
		return err
	}
	log := newLog(c.config.Log, stderr)
	for _, odd := range c.warnings.lines() {
		log.Warn(odd)
	}
	n, err := newNode(c.config, log)
	if err != nil {
		return err
	}
	stop := n.reloadOnSignal(s)
	defer stop()
	if term.IsTerminal(int(stderr.Fd())) {
		n.greet(stderr)
	} else {
		n.logPlaces()
	}
	if err := n.run(ctx); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// load returns a configuration that is good, or all that is wrong with it.
func (s *source) load() (*reading, error) {
	c, err := s.read()
	if err != nil {
		return nil, err
	}
	c.validate()
	if err := c.problems.err(); err != nil {
		return nil, fmt.Errorf("the configuration is not valid:\n%w", err)
	}
	return c, nil
}

func newLog(c logConfig, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// greet tells somebody at a terminal where to look.
func (n *node) greet(w io.Writer) {
	fmt.Fprintf(w, "\n  Tidegate %s\n\n", versionName())
	if n.config.development() {
		fmt.Fprintf(w, "  development: everything is allowed, to this machine only\n")
	}
	fmt.Fprintf(w, "  messages     %s\n", n.config.brokerSummary())
	fmt.Fprintf(w, "  console      %s\n", n.public.url("http", "/"))
	fmt.Fprintf(w, "  WebSocket    %s\n", n.public.url("ws", "/ws"))
	fmt.Fprintf(w, "  metrics      %s\n", n.internal.url("http", "/metrics"))
	if n.config.development() {
		fmt.Fprintf(w, "\n  Try: new WebSocket(%q).onmessage = e => console.log(e.data)\n", n.public.url("ws", "/raw/"+clockChannel))
		fmt.Fprintf(w, "  in the JavaScript console of that page.\n")
	}
	fmt.Fprintln(w)
}

// logPlaces tells the same to a log.
func (n *node) logPlaces() {
	n.log.Info("serving", "version", versionName(), "node", n.gateway.Node(), "broker", n.config.brokerSummary(),
		"console", n.public.url("http", "/"), "websocket", n.public.url("ws", "/ws"),
		"metrics", n.internal.url("http", "/metrics"))
	if n.config.development() {
		n.log.Warn("development: no rules are configured, so everything is allowed, to this machine only")
	}
}

// reloadOnSignal reads the configuration anew at each SIGHUP, until stop is
// called.
func (n *node) reloadOnSignal(s *source) (stop func()) {
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

// reload takes the rules and the keys of a configuration that is good. With one
// that is not, everything stays as it is.
func (n *node) reload(s *source) {
	c, err := s.load()
	switch {
	case err != nil:
		n.log.Error("reload: rules and keys stay as they are", "error", err)
		return
	case c.config.development() != n.config.development():
		n.log.Error("reload: rules and keys stay as they are: to begin or to end development takes a restart")
		return
	}
	if err := n.auth.SetConfig(c.config.trust()); err != nil {
		n.log.Error("reload: rules and keys stay as they are", "error", err)
		return
	}
	if err := n.gateway.SetRules(c.config.rules()); err != nil {
		n.log.Error("reload: the rules stay as they are", "error", err)
		return
	}
	n.log.Info("reloaded rules and keys; other settings take a restart", "rules", len(c.config.Rules), "api_keys", len(c.config.Auth.APIKeys))
}
