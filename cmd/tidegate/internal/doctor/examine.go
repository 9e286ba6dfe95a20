package doctor

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"tidegate/gateway"
)

// Examine runs all checks. It takes about as long as Patience, or until ctx ends.
func Examine(ctx context.Context, c Config) Report {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true // a request over a reused connection may be sent twice
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetHTTP1(true) // required for WebSockets
	defer transport.CloseIdleConnections()
	e := &examination{
		Config: c, http: &http.Client{Transport: transport, CheckRedirect: noRedirect},
		channel: fmt.Sprintf("tidegate:doctor:%x", time.Now().UnixNano()),
		over:    func() bool { return ctx.Err() != nil },
		report:  Report{Findings: []Finding{}, Unchecked: []string{}},
	}
	if e.reaches(ctx) {
		e.lookAtNodes(ctx)
		e.lookAtPages(ctx)
		e.lookAtWays(ctx)
	}
	if c.Redis.URL != "" {
		e.lookAtRedis(ctx)
	}
	if e.report.interrupted = e.over(); e.report.interrupted {
		e.pass("what was left to do when the examination was interrupted")
	}
	return e.report
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// reaches reports whether a gateway answers, and can use Redis: nothing else works without it.
func (e *examination) reaches(ctx context.Context) bool {
	e.Progress.Say("asking %s", e.URL.Redacted())
	answer, err := e.ask(ctx, http.MethodGet, "/healthz", nil, nil)
	switch {
	case err != nil:
		e.find(cureUnanswered(err), "%s does not answer: %v.", e.URL.Redacted(), err)
		return false
	case answer.status/100 == 3:
		at := strings.TrimSuffix(answer.location, "/healthz")
		e.find([]Cure{{"command line", "tidegate doctor " + at}}, "%s redirects to %s.", e.URL.Redacted(), at)
		return false
	case answer.status != http.StatusOK || string(answer.body) != "ok\n":
		e.find(cureAddress, "%s is no gateway, or a proxy without one behind it: /healthz returned %s.", e.URL.Redacted(), answer)
		return false
	}
	if answer, err = e.ask(ctx, http.MethodGet, "/readyz", nil, nil); err != nil || answer.status == http.StatusOK {
		return true
	}
	if strings.Contains(string(answer.body), gateway.ErrBrokerAway.Error()) {
		e.find(cureBroker, "A node that gets traffic cannot use Redis: %s.", answer)
		e.pass("what needs Redis")
		return false
	}
	e.find(cureReady, "The balancer sends traffic to a node that is not ready: %s.", answer)
	return true
}
