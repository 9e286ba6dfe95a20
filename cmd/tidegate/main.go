// Command tidegate is the gateway, and the tools to try it and to look after it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tidegate/cmd/tidegate/internal/bench"
	"tidegate/cmd/tidegate/internal/config"
)

func main() {
	os.Exit(run(signalled(context.Background()), os.Args[1:]))
}

// run executes a command line and returns its exit code: 0 if all went well, 1
// if not. The end of ctx ends the command in order.
func run(ctx context.Context, args []string) int {
	root := newRootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case !errors.Is(err, errSaid):
		fmt.Fprintln(os.Stderr, "tidegate:", err)
	}
	return 1
}

// errSaid ends a command that has printed what went wrong.
var errSaid = errors.New("said")

// signalled returns a context that the first SIGINT or SIGTERM ends. The second
// one ends the process, with the exit code that a shell gives such an end.
func signalled(parent context.Context) context.Context {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		second := (<-signals).(syscall.Signal)
		fmt.Fprintln(os.Stderr, "tidegate: second signal, ending at once:", second)
		os.Exit(128 + int(second))
	}()
	return ctx
}

func newRootCommand() *cobra.Command {
	root := newServeCommand()
	root.Use = "tidegate"
	root.Short = "A pub/sub gateway: one channel, every client"
	root.Long = root.Short + `.

Without a command it is "tidegate serve"; without a configuration, a development
gateway: for this machine only, in memory, everything allowed.`
	root.Example = ""
	root.Version = versionName()
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetFlagErrorFunc(nameNearestFlag)
	root.AddCommand(newServeCommand(), newDevCommand(), newInitCommand(), newVersionCommand(), newPublishCommand(), newSubscribeCommand(), newTailCommand(),
		newCheckCommand(), newTokenCommand(), newChannelCommand(), newScriptCommand(), newHealthCommand(), bench.Command())
	return root
}

func nameNearestFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || unknown.GetSpecifiedShortnames() != "" {
		return err
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	name := unknown.GetSpecifiedName()
	return fmt.Errorf("unknown flag --%s: the nearest known one is --%s", name, config.Nearest(name, known))
}
