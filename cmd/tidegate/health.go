package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidegate/cmd/tidegate/internal/config"
)

func newHealthCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health [URL]",
		Short: "Check the health of a gateway, for images without a shell",
		Long: `Check the health of a gateway, for images without a shell. Exits with 0 if it answers
200, otherwise with 1. Without a URL it queries /healthz at the configured
internal_listen.`,
		Example: "  tidegate health\n  tidegate health http://127.0.0.1:9080/readyz",
		Args:    cobra.MaximumNArgs(1),
	}
	source := config.NewSource(cmd.Flags(), os.Environ(), "internal_listen")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return askHealth(cmd.Context(), args[0])
		}
		url, err := healthURL(source)
		if err != nil {
			return err
		}
		return askHealth(cmd.Context(), url)
	}
	return cmd
}

func healthURL(s *config.Source) (string, error) {
	address, err := s.InternalListen()
	if err != nil {
		return "", err
	}
	return "http://" + onThisMachine(address) + "/healthz", nil
}

func askHealth(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true} // without a proxy, because it asks this machine
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(response.Body, 512))
		return fmt.Errorf("%s: %s: %s", url, response.Status, strings.TrimSpace(string(said)))
	}
	return nil
}
