package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"tidegate/cmd/tidegate/internal/config"
	"tidegate/cmd/tidegate/internal/terminal"
)

func newDevCommand() *cobra.Command {
	var quiet bool
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a development gateway and open its console in the browser",
		Long: `Run a development gateway: reachable from this machine only, with everything allowed. On a
terminal, it opens the console in the browser, if there is one: $BROWSER, or the system's
default. Takes all flags of serve.`,
		Example: "  tidegate dev\n  tidegate dev --listen 127.0.0.1:8081 --internal-listen 127.0.0.1:9081 --no-browser",
		Args:    cobra.NoArgs,
	}
	source := config.NewSource(cmd.Flags(), os.Environ(), config.Names()...)
	hideSettings(cmd)
	cmd.Flags().BoolVar(&quiet, "no-browser", false, "do not open a browser")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return develop(cmd.Context(), source, !quiet && terminal.Is(os.Stderr))
	}
	return cmd
}

func develop(ctx context.Context, source *config.Source, browse bool) error {
	c, _, err := load(source)
	if err != nil {
		return err
	}
	if !c.Development() {
		return errors.New("this configuration is not for development, where there are no rules and only this machine can connect: run it with tidegate serve")
	}
	return serve(ctx, source, os.Stderr, func(n *node) {
		if browse {
			n.openConsole()
		}
	})
}

// openConsole opens the console in the browser and does not wait for it.
func (n *node) openConsole() {
	program := browserOf(runtime.GOOS, os.Getenv)
	if program == nil {
		return
	}
	command := exec.Command(program[0], append(program[1:], n.public.url("http", "/"))...)
	if err := command.Start(); err != nil {
		n.log.Debug("no browser was opened", "program", program[0], "error", err)
		return
	}
	go command.Wait() // it belongs to the user and may outlive this process
}

// browserOf returns the command that opens a URL, or nil if there is no display.
func browserOf(system string, getenv func(string) string) []string {
	browser := getenv("BROWSER")
	_, notProgram := exec.LookPath(browser)
	switch {
	case notProgram == nil:
		return []string{browser}
	case strings.TrimSpace(browser) != "":
		return strings.Fields(browser) // such as "firefox --private-window"
	case system == "darwin":
		return []string{"open"}
	case system == "windows":
		return []string{"rundll32", "url.dll,FileProtocolHandler"}
	case getenv("DISPLAY") != "" || getenv("WAYLAND_DISPLAY") != "":
		return []string{"xdg-open"}
	}
	return nil
}
