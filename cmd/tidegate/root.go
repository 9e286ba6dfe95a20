package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tidegate/cmd/tidegate/internal/bench"
	"tidegate/cmd/tidegate/internal/config"
	"tidegate/cmd/tidegate/internal/ctl"
	"tidegate/cmd/tidegate/internal/doctor"
)

func newRootCommand() *cobra.Command {
	root := newServeCommand()
	root.Use = "tidegate"
	root.Short = "A pub/sub gateway: one channel, every client"
	root.Long = root.Short + `.

Without a command it runs "tidegate serve", whose help lists all settings. Without a
configuration this is a development gateway: reachable from this machine only, in memory,
with everything allowed.

Commands that talk to a running gateway use ` + config.EnvPrefix + `URL and ` + config.EnvPrefix + `API_KEY.
Exit codes: 0 success, 1 failure, 2 usage error.`
	root.Example = ""
	root.Version = versionName()
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetFlagErrorFunc(nameNearestFlag)
	hideSettings(root)
	addGroup(root, "run", "Run a gateway:", newServeCommand(), newDevCommand(), newInitCommand(), newCheckCommand(), newHealthCommand(), bench.Command())
	addGroup(root, "look", "Inspect and manage a cluster:", append(ctl.Commands(), doctor.Command())...)
	addGroup(root, "messages", "Send and receive:", newPublishCommand(), newSubscribeCommand(), newTailCommand())
	addGroup(root, "prepare", "Set up clients and backends:", newTokenCommand(), newChannelCommand(), newScriptCommand())
	addGroup(root, "about", "About this program:", newVersionCommand())
	root.SetHelpCommandGroupID("about")
	root.SetCompletionCommandGroupID("about")
	eachCommand(root, sayArguments)
	eachCommand(root, nameNearestCommand)
	return root
}

// hideSettings leaves most settings out of the help of a command that takes those of serve,
// because there are so many that nothing else would be seen.
func hideSettings(c *cobra.Command) {
	for _, name := range config.Names() {
		_, flag := config.Spellings(name)
		c.Flags().Lookup(strings.TrimPrefix(flag, "--")).Hidden = !slices.Contains([]string{"listen", "internal_listen", "redis.url"}, name)
	}
}

func addGroup(root *cobra.Command, id, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: id, Title: title})
	for _, c := range commands {
		c.GroupID = id
		root.AddCommand(c)
	}
}

func eachCommand(c *cobra.Command, do func(*cobra.Command)) {
	do(c)
	for _, child := range c.Commands() {
		eachCommand(child, do)
	}
}

// sayArguments makes a command that gets the wrong number of arguments say which ones it wants.
func sayArguments(c *cobra.Command) {
	fits := c.Args
	if fits == nil {
		return
	}
	c.Args = func(c *cobra.Command, args []string) error {
		if fits(c, args) == nil {
			return nil
		}
		_, arguments, _ := strings.Cut(c.Use, " ")
		if arguments == "" {
			arguments = "none"
		}
		return fmt.Errorf("%s is given %q, want %s", c.CommandPath(), args, arguments)
	}
}

// nameNearestCommand makes a command with subcommands refuse an unknown one and
// suggest the nearest.
func nameNearestCommand(c *cobra.Command) {
	if !c.HasSubCommands() {
		return
	}
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		var known []string
		for _, child := range c.Commands() {
			known = append(known, child.Name())
		}
		return fmt.Errorf("unknown command %q: %s", args[0], insteadOf(c, args[0], c.CommandPath()+" ", known))
	}
	if c.RunE == nil {
		c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	}
}

// nameNearestFlag suggests the nearest of an unknown flag, unless it is only unknown because it
// follows an unknown command.
func nameNearestFlag(cmd *cobra.Command, err error) error {
	if before := cmd.Flags().Args(); cmd.HasSubCommands() && len(before) > 0 {
		return cmd.Args(cmd, before)
	}
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || unknown.GetSpecifiedShortnames() != "" {
		return err
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	name := unknown.GetSpecifiedName()
	return fmt.Errorf("unknown flag --%s: %s", name, insteadOf(cmd, name, "--", known))
}

// insteadOf says what may be meant by an unknown name: one that begins with it, or the nearest
// one, or where to look if none resembles it.
func insteadOf(cmd *cobra.Command, name, prefix string, known []string) string {
	nearest := config.Nearest(name, known)
	if i := slices.IndexFunc(known, func(one string) bool { return strings.HasPrefix(one, name) }); i >= 0 {
		nearest = known[i]
	}
	if config.Resembles(name, nearest) {
		return "the nearest known one is " + prefix + nearest
	}
	return cmd.CommandPath() + " --help lists those that there are"
}
