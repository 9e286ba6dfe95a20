package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// The console's workbench makes tokens that the gateway accepts, reads rules as serve does,
// and exists only in development.
func TestWorkbench_IsForDevelopmentOnly(t *testing.T) {
	t.Parallel()
	node := startReady(t, nil)
	ask := func(node *process, path, question string) (int, string) {
		t.Helper()
		answer, err := http.Post(node.public(path), "application/json", strings.NewReader(question))
		must(t, err)
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		must(t, err)
		return answer.StatusCode, string(body)
	}

	_, said := ask(node, "/dev/token", `{"user":"alice","ttl":60}`)
	var made struct{ Token string }
	if err := json.Unmarshal([]byte(said), &made); err != nil {
		t.Fatal(err, said)
	}
	if status, said := ask(node, "/api/channels/a/messages?access_token="+made.Token, `"hi"`); status != http.StatusOK {
		t.Errorf("the token is refused: %d %s", status, said)
	}
	if status, said := ask(node, "/api/channels/a/messages?access_token="+made.Token+"x", `"hi"`); status != http.StatusUnauthorized {
		t.Errorf("a wrong token: %d %s", status, said)
	}
	if status, said := ask(node, "/dev/rules", `{"rules":"channels:\n- {match: a, subscribe: everybody}","channel":"a"}`); status != http.StatusBadRequest || !strings.Contains(said, "line:2: channels[0].subscribe") {
		t.Errorf("wrong rules: %d %s", status, said)
	}

	strict := startReady(t, nil, "--config", write(t, "tidegate.yaml", "channels: [{match: \"*\", subscribe: anyone}]\n"))
	for _, path := range []string{"/dev/token", "/dev/rules", "/dev"} {
		if status, said := ask(strict, path, `{}`); status != http.StatusNotFound {
			t.Errorf("with rules %s answers %d %s", path, status, said)
		}
	}
}
