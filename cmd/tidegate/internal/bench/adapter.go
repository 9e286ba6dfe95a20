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

// adapter describes the protocol of a WebSocket server to the benchmarks. Frames and paths
// are templates: {channel} and {token} are replaced by the channel and the token, {data} by
// the payload, which is JSON, {string} by the payload as a JSON string, and {size} by the
// payload's length in bytes.
type adapter struct {
	Path        string `yaml:"path"`         // used if the server's URL has no path
	PublishPath string `yaml:"publish_path"` // used by publishers; Path if empty
	Subprotocol string `yaml:"subprotocol"`
	Connect     string `yaml:"connect"`    // the first frame to send; none if empty
	Connected   string `yaml:"connected"`  // text in the reply; if empty, no reply is awaited
	Subscribe   string `yaml:"subscribe"`  // if empty, the path subscribes
	Subscribed  string `yaml:"subscribed"` // text in the reply
	Publish     string `yaml:"publish"`
	Refused     string `yaml:"refused"` // text in the error that the server sends instead of a reply
	Ping        string `yaml:"ping"`    // the whole frame that the server sends instead of a ping of RFC 6455
	Pong        string `yaml:"pong"`    // the reply to Ping
}

//go:embed adapters/*.yaml
var adapters embed.FS

// native is the adapter of this gateway's own protocol.
var native = mustAdapter("tidegate")

func mustAdapter(name string) *adapter {
	a, err := loadAdapter(name)
	if err != nil {
		panic(err) // the file is embedded, and a test loads it
	}
	return a
}

// adapterNames returns the names of the built-in adapters.
func adapterNames() []string {
	files, _ := fs.Glob(adapters, "adapters/*.yaml") // fails only for a malformed pattern
	for i, file := range files {
		files[i] = strings.TrimSuffix(path.Base(file), ".yaml")
	}
	return files
}

// loadAdapter returns the built-in adapter of the given name or, if there is none, reads the
// file of that name.
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
		return errors.New("subscribed: say which text the reply to subscribe contains")
	}
	return nil
}

// publishesByPath reports whether the path of a publisher names its channel, so that a
// connection can publish on one channel only.
func (a *adapter) publishesByPath() bool { return strings.Contains(a.PublishPath, "{channel}") }

// serverURL parses the URL of a server. A path in the URL overrides the adapter's paths.
func (a *adapter) serverURL(given string) (*url.URL, error) {
	u, err := url.Parse(given)
	if err != nil || u.Host == "" || !slices.Contains([]string{"ws", "wss"}, u.Scheme) {
		return nil, errors.New("want a WebSocket URL after the adapter, such as tidegate=ws://127.0.0.1:8080")
	}
	if hasPath(u) && strings.Contains(a.Path+a.PublishPath, "{channel}") {
		return nil, errors.New("the URL has a path, but the adapter needs its own, with the channel: give the URL without a path")
	}
	return u, nil
}

func hasPath(u *url.URL) bool { return u.Path != "" && u.Path != "/" }

// place returns the URL to connect to, on the server with the URL base.
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

// fill replaces each name in braces by the value that follows it in the arguments.
func fill(template string, namesAndValues ...string) string {
	for pair := range slices.Chunk(namesAndValues, 2) {
		template = strings.ReplaceAll(template, "{"+pair[0]+"}", pair[1])
	}
	return template
}

// refusal returns the error that a frame reports, or nil if it reports none.
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
