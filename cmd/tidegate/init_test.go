package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidegate/cmd/tidegate/internal/config"
	"tidegate/gateway/auth"
)

func TestInit_WritesWhatCheckPraises(t *testing.T) {
	keys := map[string]bool{}
	for _, place := range []string{"one-node", "compose", "nginx"} {
		path := filepath.Join(t.TempDir(), "tidegate.yaml")
		var said strings.Builder
		must(t, initialize(&said, path, place))
		if serves := strings.Contains(said.String(), "tidegate serve"); serves == (place == "compose") {
			t.Errorf("%s: whoever runs it next is told\n%s", place, &said)
		}
		c, warnings, err := config.File(path, nil).Load()
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v, %q", place, err, warnings)
			continue
		}
		if c.Development() {
			t.Errorf("%s is for development", place)
		}
		keys[string(c.Auth.APIKeys[0].Key)], keys[string(c.Auth.JWT.Secret)] = true, true
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: the file may be read by others: %v, %v", place, info.Mode(), err)
		}
	}
	if len(keys) != 6 {
		t.Errorf("%d keys are different, want 6", len(keys))
	}
}

// An image without a shell can write no file outside its container.
func TestInit_WritesToStandardOutput(t *testing.T) {
	var said strings.Builder
	must(t, initialize(&said, "-", "compose"))
	if c, _, err := config.File(write(t, "tidegate.yaml", said.String()), nil).Load(); err != nil || c.Development() {
		t.Errorf("%v in\n%s", err, &said)
	}
}

func TestInit_KeepsWhatIsThere(t *testing.T) {
	path := write(t, "tidegate.yaml", "# mine\n")
	err := initialize(io.Discard, path, "one-node")
	if err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("got %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "# mine\n" {
		t.Errorf("it became %q, %v", text, err)
	}
	if err := initialize(io.Discard, path+"2", "mars"); err == nil || !strings.Contains(err.Error(), "one-node, compose or nginx") {
		t.Errorf("got %v", err)
	}
}

// A node with the generated configuration accepts its key, and tokens signed with its secret.
func TestInit_ItsKeysAreGood(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tidegate.yaml")
	must(t, initialize(io.Discard, path, "one-node"))
	node := startReady(t, nil, "--config", path)
	c, err := config.File(path, nil).Read()
	must(t, err)
	request := tokenRequest{claims: auth.Claims{User: "alice"}}
	token, err := request.sign(c)
	must(t, err)
	key := string(c.Auth.APIKeys[0].Key)
	for channel, want := range map[string]map[string]int{
		"chat:lobby": {"": 401, token: 200, key: 200},
		"news:today": {"": 401, token: 403, key: 200},
	} {
		for credential, status := range want {
			ask, err := http.NewRequestWithContext(t.Context(), "POST", node.public("/api/channels/"+channel+"/messages"), strings.NewReader("hi"))
			must(t, err)
			if credential != "" {
				ask.Header.Set("Authorization", "Bearer "+credential)
			}
			answer, err := http.DefaultClient.Do(ask)
			must(t, err)
			answer.Body.Close()
			if answer.StatusCode != status {
				t.Errorf("%s with %.6q: %d, want %d", channel, credential, answer.StatusCode, status)
			}
		}
	}
}
