package bench

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// adapter says how a server over WebSocket does what a benchmark asks of it. Frames and
// paths are templates: {channel} and {token} stand for these, {data} for the payload, which
// is JSON, {string} for the payload as a JSON string, {size} for its length in bytes.
type adapter struct {
	Path        string `yaml:"path"`         // where the server's URL has none
	PublishPath string `yaml:"publish_path"` // of those who publish; without one, Path
	Subprotocol string `yaml:"subprotocol"`
	Connect     string `yaml:"connect"`    // said first; may be nothing
	Connected   string `yaml:"connected"`  // is in the answer; without it, none is awaited
	Subscribe   string `yaml:"subscribe"`  // without one, the path subscribes
	Subscribed  string `yaml:"subscribed"` // is in the answer
	Publish     string `yaml:"publish"`
	Refused     string `yaml:"refused"` // is in what the server says in place of an answer
	Ping        string `yaml:"ping"`    // is all that the server says, in place of RFC 6455's ping
	Pong        string `yaml:"pong"`    // the answer to it
}

//go:embed adapters/*.yaml
var adapters embed.FS

// native is this gateway's own protocol.
var native = mustAdapter("tidegate")

func mustAdapter(name string) *adapter {
	a, err := loadAdapter(name)
	if err != nil {
		panic(err) // it is embedded, and a test reads it
	}
	return a
}

// adapterNames returns those that need no file.
func adapterNames() []string {
	files, _ := fs.Glob(adapters, "adapters/*.yaml") // the pattern is right
	for i, file := range files {
		files[i] = strings.TrimSuffix(path.Base(file), ".yaml")
	}
	return files
}

// loadAdapter reads an adapter of our own by its name, or else a file.
func loadAdapter(name string) (*adapter, error) {
	text, err := adapters.ReadFile("adapters/" + name + ".yaml")
	if err != nil {
		if text, err = os.ReadFile(name); err != nil {
			return nil, fmt.Errorf("adapter %q: want one of %s, or a file: %w", name, strings.Join(adapterNames(), ", "), err)
		}
	}
	a := &adapter{}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(a); err != nil {
		return nil, fmt.Errorf("adapter %s: %w", name, err)
	}
	if err := a.check(); err != nil {
		return nil, fmt.Errorf("adapter %s: %w", name, err)
	}
	return a, nil
}

func (a *adapter) check() error {
	switch {
	case a.Publish == "":
		return errors.New("publish: there is no frame")
	case !strings.Contains(a.Publish, "{data}") && !strings.Contains(a.Publish, "{string}"):
		return errors.New("publish: the frame has neither {data} nor {string}")
	case a.Subscribe == "" && !strings.Contains(a.Path, "{channel}"):
		return errors.New("subscribe: there is no frame, and path does not name the {channel}")
	case a.Subscribe != "" && a.Subscribed == "":
		return errors.New("subscribed: say what the answer to subscribe has in it")
	}
	return nil
}

// publishesByPath reports whether a connection publishes on one channel only.
func (a *adapter) publishesByPath() bool { return strings.Contains(a.PublishPath, "{channel}") }

// serverURL reads the URL of a server. One with a path has it in place of the adapter's.
func (a *adapter) serverURL(given string) (*url.URL, error) {
	u, err := url.Parse(given)
	if err != nil || u.Host == "" || !slices.Contains([]string{"ws", "wss"}, u.Scheme) {
		return nil, errors.New("want a WebSocket URL behind the adapter, such as tidegate=ws://127.0.0.1:8080")
	}
	if hasPath(u) && strings.Contains(a.Path+a.PublishPath, "{channel}") {
		return nil, errors.New("the URL has a path, and the adapter has the channel in its own: give the URL without one")
	}
	return u, nil
}

func hasPath(u *url.URL) bool { return u.Path != "" && u.Path != "/" }

// place returns where to connect, at a server of which base is known.
func (a *adapter) place(base *url.URL, publishes bool, channel, token string) (*url.URL, error) {
	at := a.Path
	if publishes && a.PublishPath != "" {
		at = a.PublishPath
	}
	if hasPath(base) {
		at = base.RequestURI()
	}
	relative, err := url.Parse(fill(at, "channel", url.QueryEscape(channel), "token", url.QueryEscape(token)))
	if err != nil {
		return nil, err
	}
	return base.ResolveReference(relative), nil
}

func (a *adapter) subscribe(channel string) []byte {
	return []byte(fill(a.Subscribe, "channel", channel))
}

func (a *adapter) publish(channel string, size int) []byte {
	data := payloadText(size)
	return []byte(fill(a.Publish, "channel", channel, "data", data, "string", strconv.Quote(data), "size", strconv.Itoa(len(data))))
}

// fill replaces names in braces by what follows each.
func fill(template string, namesAndValues ...string) string {
	for pair := range slices.Chunk(namesAndValues, 2) {
		template = strings.ReplaceAll(template, "{"+pair[0]+"}", pair[1])
	}
	return template
}

// refusal returns what a frame refuses, or nil.
func (a *adapter) refusal(frame []byte) error {
	if a.Refused == "" || !bytes.Contains(frame, []byte(a.Refused)) {
		return nil
	}
	var said refusal
	if json.Unmarshal(frame, &said) == nil && said.Code != "" {
		return &said
	}
	return fmt.Errorf("the server refuses: %.200s", frame)
}
