// Command tidegate runs the gateway, and the tools to try and to operate it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tidegate/cmd/tidegate/internal/terminal"
)

func main() {
	os.Exit(run(signalled(context.Background()), os.Args[1:]))
}

// run executes a command line and returns the exit code: 0 for success, 1 for failure, 2 if
// the command line is wrong. When ctx ends, the command shuts down in order.
func run(ctx context.Context, args []string) int {
	root := newRootCommand()
	root.SetArgs(args)
	begun := false // the command line has been parsed
	eachCommand(root, func(c *cobra.Command) {
		if do := c.RunE; do != nil {
			c.RunE = func(c *cobra.Command, args []string) error {
				begun = true
				return do(c, args)
			}
		}
	})
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case !errors.Is(err, errSaid):
		fmt.Fprintln(os.Stderr, "tidegate:", terminal.PlainLines(err.Error()))
	}
	if !begun {
		return 2
	}
	return 1
}

// signalled returns a context that ends at the first SIGINT or SIGTERM. The second signal
// ends the process, with the exit code that shells use for a signal. A signal right after
// the first is ignored: timeout(1) signals the process and then its process group.
func signalled(parent context.Context) context.Context {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		first := time.Now()
		cancel()
		second := (<-signals).(syscall.Signal)
		for time.Since(first) < sameSignal {
			second = (<-signals).(syscall.Signal)
		}
		fmt.Fprintln(os.Stderr, "tidegate: second signal, ending at once:", second)
		os.Exit(128 + int(second))
	}()
	return ctx
}

const sameSignal = 100 * time.Millisecond
