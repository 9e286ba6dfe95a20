package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// version is set by the linker: -X main.version=1.2.3.
var version string

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version and how it was built; tidegate nodes lists those of a cluster",
		Args:  cobra.NoArgs,
		Run:   func(cmd *cobra.Command, _ []string) { tellVersion(cmd.OutOrStdout()) },
	}
}

func tellVersion(out io.Writer) {
	fmt.Fprintln(out, "tidegate", versionName())
	if commit := commitOf(debug.ReadBuildInfo()); commit != "" {
		fmt.Fprintln(out, "commit", commit)
	}
	fmt.Fprintf(out, "built with %s for %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// commitOf returns the commit that was built, if the build information has it.
func commitOf(build *debug.BuildInfo, ok bool) (commit string) {
	if !ok {
		return ""
	}
	settings := map[string]string{}
	for _, s := range build.Settings {
		settings[s.Key] = s.Value
	}
	commit = settings["vcs.revision"]
	if settings["vcs.time"] != "" {
		commit += " of " + settings["vcs.time"]
	}
	if settings["vcs.modified"] == "true" {
		commit += ", with changes"
	}
	return commit
}

// versionName returns the version or, without one, that of the module, which names the commit.
func versionName() string {
	build, ok := debug.ReadBuildInfo()
	if version != "" || !ok {
		return cmp.Or(version, "unknown")
	}
	return strings.Trim(build.Main.Version, "()")
}
