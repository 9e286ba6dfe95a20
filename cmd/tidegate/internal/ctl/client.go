// Package ctl is the commands that look after running gateways, by their HTTP API.
package ctl

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidegate/cmd/tidegate/internal/config"
)

// client asks a gateway, as the flags of a command say.
type client struct {
	url, key string
	json     bool // the answer is printed as it came
}

func (c *client) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.url, "url", "", "`URL` of the gateway, of either listener (default "+config.EnvPrefix+"URL, or http://127.0.0.1:8080)")
	cmd.Flags().StringVar(&c.key, "key", "", "API key, visible to whoever lists processes: better "+config.EnvPrefix+"API_KEY")
	cmd.Flags().BoolVar(&c.json, "json", false, "print the answer as JSON")
}

// request is one to the HTTP API.
type request struct {
	method string
	path   string // below /api/, its parts escaped by at
	query  url.Values
	body   any // as JSON; nil: none
}

// at joins the parts of a path.
func at(parts ...string) string {
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return strings.Join(parts, "/")
}

const patience = 30 * time.Second // a node may owe an answer to the one that is asked

// ask returns the body of the answer. An answer that says no is an error with what it
// says.
func (c *client) ask(ctx context.Context, r request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	outgoing, err := c.request(ctx, r)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(outgoing)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return nil, refusal(outgoing.URL.Redacted(), response.Status, answer)
	}
	return answer, nil
}

func (c *client) request(ctx context.Context, r request) (*http.Request, error) {
	if err := config.CheckEnvironment(os.Environ()); err != nil {
		return nil, err
	}
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

// refusal returns what a gateway says beside a status that is no success; what another
// server says is told by the status alone.
func refusal(address, status string, answer []byte) error {
	var said struct {
		Error struct{ Code, Message string }
	}
	if json.Unmarshal(answer, &said) != nil || said.Error.Code == "" {
		return fmt.Errorf("%s: %s: is this a gateway?", address, status)
	}
	return fmt.Errorf("%s (%s)", said.Error.Message, said.Error.Code)
}

// show asks, and prints the answer by print, or as it came.
func show[T any](cmd *cobra.Command, c *client, r request, print func(out io.Writer, answer T)) error {
	body, err := c.ask(cmd.Context(), r)
	if err != nil {
		return err
	}
	if c.json {
		_, err = cmd.OutOrStdout().Write(body)
		return err
	}
	var answer T
	if len(body) > 0 {
		if err := decode(body, &answer); err != nil {
			return err
		}
	}
	print(cmd.OutOrStdout(), answer)
	return nil
}

func decode(body []byte, answer any) error {
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("the answer is not understood: %w", err)
	}
	return nil
}
