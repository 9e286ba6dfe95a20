package webhook_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidegate/broker/brokertest"
	"tidegate/gateway/webhook"
)

// The Python code of the guide runs unchanged, beside a file with the secret.
func TestGuide_ItsPythonKnowsWhatIsGenuine(t *testing.T) {
	python := brokertest.FindProgram(t, "python3")
	guide, err := os.ReadFile("README.md")
	must(t, err)
	_, example, found := strings.Cut(string(guide), "```python\n")
	example, _, ended := strings.Cut(example, "```\n")
	if !found || !ended {
		t.Fatal("the guide has no Python")
	}
	folder := t.TempDir()
	must(t, os.WriteFile(filepath.Join(folder, "webhook.secret"), []byte(secret+"\n"), 0o600))
	body, now := []byte(`{"event":"connect","user":"ada ✓"}`), time.Now()
	headers := []string{
		webhook.Sign(secret, now, body),
		webhook.Sign("another secret, of somebody", now, body),
		webhook.Sign(secret, now, []byte("another body")),
		webhook.Sign(secret, now.Add(-time.Hour), body),
	}
	for _, header := range headers {
		example += fmt.Sprintf("print(is_genuine(%q, %q.encode(), secret))\n", header, body)
	}
	run := exec.Command(python, "-c", example)
	run.Dir = folder
	said, err := run.CombinedOutput()
	if want := "True\nFalse\nFalse\nFalse\n"; err != nil || string(said) != want {
		t.Errorf("it says %q (%v); want %q", said, err, want)
	}
}
