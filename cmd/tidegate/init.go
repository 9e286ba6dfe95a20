package main

import (
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"text/template"

	"github.com/spf13/cobra"
)

//go:embed init.tmpl
var initText string

// places are the kinds of deployment, with their titles, that "tidegate init" can write a configuration for.
var places = map[string]string{"one-node": "one node", "compose": "Docker Compose", "nginx": "nodes behind nginx"}

func newInitCommand() *cobra.Command {
	output := "tidegate.yaml"
	cmd := &cobra.Command{
		Use:   "init [one-node | compose | nginx]",
		Short: "Write a starter configuration with generated keys",
		Long: `Write a commented starter configuration, with example rules, a generated API key for a
backend, and a generated secret for clients' tokens. Without an argument it is for one
node. An existing file is not overwritten. Only its owner can read the file: a gateway that
runs as another user, as deploy/systemd/tidegate.service does, must be allowed to.`,
		Example: "  tidegate init\n  tidegate init compose\n  tidegate init nginx --output /etc/tidegate/tidegate.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return initialize(cmd.OutOrStdout(), output, append(args, "one-node")[0])
		},
	}
	cmd.ValidArgs = slices.Sorted(maps.Keys(places))
	cmd.Flags().StringVarP(&output, "output", "o", output, "`file` to write; -: standard output")
	return cmd
}

func initialize(out io.Writer, path, place string) error {
	text, err := initialConfiguration(place)
	if err != nil {
		return err
	}
	if path == "-" {
		_, err := io.WriteString(out, text)
		return err
	}
	if err := writeNew(path, text); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already and was not changed: give another name with --output", path)
	} else if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s is written, with newly generated keys.\n\n  tidegate check %[1]s\n", path)
	if place != "compose" {
		fmt.Fprintf(out, "  tidegate serve --config %s\n", path)
	}
	fmt.Fprintf(out, "  tidegate token --config %s --user alice\n\nPaste the token into the console, below Connection.\n", path)
	if place == "compose" {
		fmt.Fprintln(out, "A comment in the file shows the services for docker-compose.yml.")
	}
	return nil
}

func initialConfiguration(place string) (string, error) {
	title, known := places[place]
	if !known {
		return "", fmt.Errorf("there is no configuration for %q: want one-node, compose or nginx", place)
	}
	var text strings.Builder
	err := template.Must(template.New("").Parse(initText)).Execute(&text, map[string]string{
		"Name": place, "Title": title, "APIKey": newKey(24), "Secret": newKey(32),
	})
	return text.String(), err
}

func newKey(bytes int) string {
	key := make([]byte, bytes)
	rand.Read(key) // never fails
	return hex.EncodeToString(key)
}

// writeNew writes a file that only its owner can read. It fails if the file exists.
func writeNew(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}
