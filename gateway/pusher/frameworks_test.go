//go:build frameworks

package pusher

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"tidegate/broker/brokertest"
	"tidegate/gateway"
)

// framework is an application that contains the guide's lines for a framework.
type framework struct {
	name, language, beginning string
	local                     []string // pairs of a text and its replacement, HOST or PORT
	command                   []string
}

var frameworks = []framework{
	{"Laravel", "php", "// Laravel", []string{"gateway.example.com", "HOST", "443", "PORT", "'https'", "'http'", "'useTLS' => true", "'useTLS' => false"},
		[]string{"php", "-d", "include_path=/usr/share/php", "testdata/frameworks/laravel.php"}},
	{"Rails", "ruby", "# Rails", []string{"gateway.example.com", "HOST", "443", "PORT", `"https"`, `"http"`}, []string{"ruby", "testdata/frameworks/rails.rb"}},
	{"Django", "python", "# Django", []string{"gateway.example.com", "HOST", "443", "PORT", "ssl=True", "ssl=False"},
		[]string{"/usr/bin/python3", "testdata/frameworks/django_application.py"}},
}

// The test runs the guide's lines in applications of these frameworks, with the official
// libraries. PUSHER_LIBRARIES is a folder with their checkouts: pusher-http-php,
// pusher-http-ruby, pusher-signature and pusher-http-python. Debian has the dependencies:
// php-laravel-framework and php-guzzlehttp-guzzle, ruby-rails, ruby-httpclient and
// ruby-multi-json, python3-django, python3-requests and python3-nacl.
func TestFrameworks_PublishAndAuthorize(t *testing.T) {
	libraries := os.Getenv("PUSHER_LIBRARIES")
	if libraries == "" {
		t.Fatal("PUSHER_LIBRARIES is not set")
	}
	for _, f := range frameworks {
		t.Run(f.name, func(t *testing.T) {
			n := startNode(t, gateway.Config{})
			news := n.native("news")
			p, socket := n.connect(shop)
			p.join(shop, socket, "private-x", "")
			other, otherSocket := n.connect(shop)
			answers := f.run(t, n, otherSocket, libraries)
			if f := news.finds("event", "said"); fmt.Sprint(f["data"]) != "map[text:hi]" {
				t.Errorf("heard %v", f)
			}
			if f := p.finds("event", "said"); strings.ReplaceAll(f.text("data"), " ", "") != `{"text":"hi"}` {
				t.Errorf("heard %v", f)
			}
			for i, channel := range []string{"private-x", "presence-room"} {
				body, whole := strings.CutPrefix(answers[i], "{")
				if !whole {
					t.Fatalf("authorized by %s", answers[i])
				}
				other.say(`{"event":"pusher:subscribe","data":{"channel":"` + channel + `",` + body + `}`)
				if f := other.finds("channel", channel); f.text("event") != "pusher_internal:subscription_succeeded" {
					t.Errorf("heard %v", f)
				}
			}
		})
	}
}

// run returns the lines that the application prints.
func (f *framework) run(t *testing.T, n *node, socket, libraries string) []string {
	t.Helper()
	host, port, err := net.SplitHostPort(n.host())
	must(t, err)
	lines := strings.NewReplacer(f.local...).Replace(guided(t, f.language, f.beginning))
	lines = strings.NewReplacer("HOST", host, "PORT", port, `"1"`, `"`+shop.ID+`"`, "app-key", shop.Key).Replace(lines)
	application := exec.CommandContext(t.Context(), brokertest.FindProgram(t, f.command[0]), f.command[1:]...)
	var log bytes.Buffer
	application.Stderr = &log
	application.Env = append(os.Environ(), "LINES="+lines, "SOCKET="+socket, "LIBRARIES="+libraries, "PUSHER_SECRET="+shop.Secret,
		"PUSHER_APP_KEY="+shop.Key, "PUSHER_APP_SECRET="+shop.Secret, "PUSHER_APP_ID="+shop.ID)
	out, err := application.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, &log)
	}
	answers := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(answers) != 2 {
		t.Fatalf("it prints %s", out)
	}
	return answers
}
