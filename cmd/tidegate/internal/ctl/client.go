// Package ctl implements the commands that operate running gateways through their HTTP API.
package ctl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tidegate/cmd/tidegate/internal/config"
	"tidegate/cmd/tidegate/internal/terminal"
)

// client sends requests to the gateway that the flags name.
type client struct {
	url, key string
	json     bool // print the answer unchanged
}

func (c *client) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.url, "url", "", "`URL` of the gateway, of either listener (default "+config.EnvPrefix+"URL, or http://127.0.0.1:8080)")
	cmd.Flags().StringVar(&c.key, "key", "", "API key, visible in the process list: prefer "+config.EnvPrefix+"API_KEY")
	cmd.Flags().BoolVar(&c.json, "json", false, "print the response as JSON")
}

// request is a request to the HTTP API.
type request struct {
	method string
	path   string // below /api/; see at for escaping
	query  url.Values
	body   any // encoded as JSON; nil means none
}

// at joins the parts of a path and escapes them.
func at(parts ...string) string {
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return strings.Join(parts, "/")
}

const patience = 30 * time.Second // long, because the gateway may have to wait for other nodes

// ask returns the body of the answer. If the status is not a success, it returns an error
// with the gateway's message.
func (c *client) ask(ctx context.Context, r request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	outgoing, err := c.request(ctx, r)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{CheckRedirect: noRedirect}).Do(outgoing)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("%w: no gateway is there: give its address as --url, or in %sURL", err, config.EnvPrefix)
	}
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if to := response.Header.Get("Location"); response.StatusCode/100 == 3 {
		return nil, fmt.Errorf("%s redirects to %s: give that address as --url", outgoing.URL.Redacted(), to)
	}
	if response.StatusCode < http.StatusMultipleChoices {
		return answer, nil
	}
	err = refusal(outgoing.URL.Redacted(), response.Status, answer)
	if response.StatusCode == http.StatusUnauthorized && outgoing.Header.Get("Authorization") == "" {
		err = fmt.Errorf("%w: give it in %sAPI_KEY", err, config.EnvPrefix)
	}
	return nil, err
}

// noRedirect refuses redirects: Go follows one of a POST or DELETE with a GET, whose answer
// looks like a success.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (c *client) request(ctx context.Context, r request) (*http.Request, error) {
	base, err := config.APIURL(c.url)
	if err != nil {
		return nil, err
	}
	var body io.Reader
	if r.body != nil {
		encoded, err := json.Marshal(r.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(encoded)
	}
	outgoing, err := http.NewRequestWithContext(ctx, r.method, base.String()+"/api/"+r.path, body)
	if err != nil {
		return nil, err
	}
	outgoing.URL.RawQuery = r.query.Encode()
	if body != nil {
		outgoing.Header.Set("Content-Type", "application/json")
	}
	if key := config.APIKeyGiven(c.key); key != "" {
		outgoing.Header.Set("Authorization", "Bearer "+key)
	}
	return outgoing, nil
}

// refusal returns the error for an unsuccessful status: with the message if the answer
// comes from a gateway, else with only the status.
func refusal(address, status string, answer []byte) error {
	var said struct {
		Error struct{ Code, Message string }
	}
	if json.Unmarshal(answer, &said) != nil || said.Error.Code == "" {
		return fmt.Errorf("%s: %s: is this a gateway?", address, status)
	}
	return fmt.Errorf("%s (%s)", terminal.Plain(said.Error.Message), said.Error.Code)
}

// requesting gives cmd the flags of a client, and makes it send the request that build returns
// and print the answer with print, or unchanged.
func requesting[T any](cmd *cobra.Command, print func(out io.Writer, answer T), build func(args []string) request) *cobra.Command {
	c := &client{}
	c.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		body, err := c.ask(cmd.Context(), build(args))
		if err != nil {
			return err
		}
		return present(cmd, c, body, print)
	}
	return cmd
}

// present prints an answer with print, or unchanged.
func present[T any](cmd *cobra.Command, c *client, body []byte, print func(out io.Writer, answer T)) error {
	var answer T
	if len(body) > 0 {
		if err := decode(body, &answer); err != nil {
			return err
		}
	}
	if c.json {
		_, err := cmd.OutOrStdout().Write(body)
		return err
	}
	var text strings.Builder
	print(&text, answer)
	_, err := io.WriteString(cmd.OutOrStdout(), terminal.PlainLines(text.String()))
	return err
}

func decode(body []byte, answer any) error {
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("the answer is not understood: %w", err)
	}
	return nil
}
