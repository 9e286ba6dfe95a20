// Command tidegate is the gateway, and the tools to try it and to look after it.
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
)

func main() {
	os.Exit(run(signalled(context.Background()), os.Args[1:]))
}

// run executes a command line and returns its exit code: 0 if all went well, 1
// if not, 2 if the command line itself is wrong. The end of ctx ends the command in
// order.
func run(ctx context.Context, args []string) int {
	root := newRootCommand()
	root.SetArgs(args)
	begun := false
	eachCommand(root, func(c *cobra.Command) { noteBegun(c, &begun) })
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case !errors.Is(err, errSaid):
		fmt.Fprintln(os.Stderr, "tidegate:", err)
	}
	if !begun {
		return 2
	}
	return 1
}

// noteBegun sets begun once the command line has been understood.
func noteBegun(c *cobra.Command, begun *bool) {
	do := c.RunE
	if do == nil {
		return
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		*begun = true
		return do(c, args)
	}
}

// signalled returns a context that the first SIGINT or SIGTERM ends. The second
// one ends the process, with the exit code that a shell gives such an end. What comes
// right behind the first is the same once more: timeout(1) signals the process, and then
// its group.
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
