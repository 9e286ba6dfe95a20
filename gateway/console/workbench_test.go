package console_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tidegate/gateway/console"
	"tidegate/gateway/rules"
)

// newWorkbench returns a workbench whose tokens are those of names (see node_test.go). Its
// rules are one pattern each, for clients with a user.
func newWorkbench() *console.Workbench {
	return &console.Workbench{
		Sign: func(client console.Client, ttl time.Duration) (string, error) {
			if client.User == "nobody" {
				return "", errors.New("there is no such user")
			}
			return "user " + client.User, nil
		},
		Rules: func(document []byte) (list rules.List, err error) {
			for _, pattern := range strings.Fields(string(document)) {
				list = append(list, rules.Rule{Match: pattern, Subscribe: rules.Authenticated, Publish: rules.Token, HistorySize: 7})
			}
			return list, list.Validate()
		},
	}
}

func TestWorkbench(t *testing.T) {
	for name, test := range map[string]struct {
		path, question string
		status         int
		answer         string
	}{
		"a token":            {"/dev/token", `{"user":"alice","ttl":60}`, 200, `{"token":"user alice"}`},
		"a user who is none": {"/dev/token", `{"user":"nobody"}`, 400, `there is no such user`},
		"no time":            {"/dev/token", `{"user":"alice","ttl":-1}`, 400, `want seconds`},
		"no JSON":            {"/dev/token", `user=alice`, 400, `not understood`},
		"too large":          {"/dev/rules", `"` + strings.Repeat("a", 300<<10) + `"`, 400, `too large`},
		"the second rule": {"/dev/rules", `{"rules":"news chat:*","channel":"chat:a","client":{"user":"alice"}}`, 200,
			`"rule":{"index":1,"match":"chat:*"},"subscribe":{"allowed":true,"why":"channels[1] (match \"chat:*\") says subscribe: authenticated, and the client is the user alice"},"publish":{"allowed":false,"code":"forbidden","why":"channels[1]`},
		"history": {"/dev/rules", `{"rules":"*","channel":"chat:a","client":{"user":"alice"}}`, 200, `"history":{"allowed":true,`},
		"a token that names the channel": {"/dev/rules", `{"rules":"*","channel":"chat:a","client":{"publish":["chat:*"]}}`, 200,
			`"publish":{"allowed":true,"why":"channels[0] (match \"*\") says publish: token, and the token's claim publish has \"chat:*\""}`},
		"no rule":       {"/dev/rules", `{"rules":"news","channel":"chat:a","client":{}}`, 200, `{"channel":"chat:a","who":"an anonymous client","subscribe":{"allowed":false,"code":"unauthenticated","why":"no rule matches`},
		"no channel":    {"/dev/rules", `{"rules":"news","channel":"a b","client":{}}`, 400, `channel`},
		"another place": {"/dev/other", `{}`, 404, ``},
	} {
		t.Run(name, func(t *testing.T) {
			answer := httptest.NewRecorder()
			newWorkbench().Handler().ServeHTTP(answer, httptest.NewRequest("POST", test.path, strings.NewReader(test.question)))
			if answer.Code != test.status || !strings.Contains(answer.Body.String(), test.answer) {
				t.Errorf("%d %s, want %d and %s", answer.Code, answer.Body, test.status, test.answer)
			}
		})
	}
}

func TestWorkbench_IsNotForPagesOfOtherSites(t *testing.T) {
	question := httptest.NewRequest("POST", "http://127.0.0.1:8080/dev/token", strings.NewReader(`{"user":"alice"}`))
	question.Header.Set("Origin", "http://127.0.0.1:3000")
	answer := httptest.NewRecorder()
	newWorkbench().Handler().ServeHTTP(answer, question)
	if answer.Code != http.StatusForbidden || strings.Contains(answer.Body.String(), "user alice") {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}

func makesTokensAndTriesRules(t *testing.T, browser context.Context) {
	nodes := newCluster(t)
	nodes.prefix = "/live"
	nodes.start()
	p := openPage(t, browser, nodes.url()+"/#tools?user=bob").connected()
	p.until("there is a way to it", `!document.querySelector("#tools-link").hidden`)
	give := func(field, value string) {
		p.do(`const f = document.querySelector(` + quote(field) + `); f.value = ` + quote(value) + `; f.dispatchEvent(new Event("input"))`)
	}
	give("#tool-rules", "news chat:*")
	p.shows("#verdict", "bob may subscribe\n\nchannels[1] (match \"chat:*\") says subscribe")
	p.shows("#verdict", "bob may not publish (forbidden)")
	p.shows("#verdict", "bob may not list who is on the channel (not_found)")
	give("#tool-channel", "orders")
	p.shows("#verdict", "no rule matches")
	p.until("the address says so", `location.hash === "#tools?user=bob&channel=orders"`)
	give("#tool-user", "")
	p.shows("#verdict", "An anonymous client may not subscribe")

	give("#tool-user", "nobody")
	p.do(`document.querySelector("#token-form").requestSubmit()`)
	p.shows("#token-note", "there is no such user")
	give("#tool-user", "ada")
	p.do(`document.querySelector("#token-form").requestSubmit()`)
	p.shows("#token-text", "user ada")
	p.do(`document.querySelector("#token-connect").click()`)
	p.until("the page is ada's, and says no token", `document.querySelector("#fact-user").textContent === "ada" && location.hash === "#console"`)
}

func saysWhereThereAreNoTools(t *testing.T, browser context.Context) {
	nodes := newCluster(t)
	nodes.barred = true
	nodes.start()
	p := openPage(t, browser, nodes.url()+"/#tools?user=bob").connected()
	p.shows("#view-tools", "only on a development gateway")
	if shown := p.text("#view-tools"); strings.Contains(shown, "token") {
		t.Errorf("the page offers what it does not have:\n%s", shown)
	}
}
