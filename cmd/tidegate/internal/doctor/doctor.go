// Package doctor looks at a deployment from outside, through its load balancer, and says
// in words what is wrong with it.
package doctor

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"tidegate/broker"
)

// Config says what to look at. URL is required.
type Config struct {
	URL      *url.URL           // of the public listener, http or https, without a path
	Key      string             // API key that is good for everything; empty: less is looked at
	Origins  []string           // of pages that are to be let in
	Patience time.Duration      // for silent connections to be cut; zero: they are not looked at
	Redis    broker.RedisConfig // with no URL it is not looked at
	Progress func(said string)  // told what is being done; nil: nobody looks
}

// Report is what was found.
type Report struct {
	Findings  []Finding `json:"findings"`
	Unchecked []string  `json:"unchecked"` // what could not be looked at, and why
}

// Finding is something that is wrong, in one sentence.
type Finding struct {
	What  string `json:"what"`
	Cures []Cure `json:"cures"`
}

// Cure is a line to change.
type Cure struct {
	Where string `json:"where"`
	Line  string `json:"line"`
}

const (
	answerPatience = 20 * time.Second // for an answer
	eventPatience  = 10 * time.Second // for what a stream says at once
)

// Examine looks at everything. It takes about as long as Patience; the end of ctx ends
// it early.
func Examine(ctx context.Context, c Config) Report {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true // a request over an old connection may be sent twice
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetHTTP1(true) // as WebSockets need it
	defer transport.CloseIdleConnections()
	e := &examination{
		Config: c, http: &http.Client{Transport: transport, CheckRedirect: noRedirect},
		channel: fmt.Sprintf("tidegate:doctor:%x", time.Now().UnixNano()),
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
	return e.report
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// examination is one of a deployment.
type examination struct {
	Config
	http    *http.Client
	channel string // that nobody else listens to
	nodes   int    // that are alive; 0: nobody has said

	mu     sync.Mutex
	report Report // guarded by mu
}

func (e *examination) find(cures []Cure, what string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.report.Findings = append(e.report.Findings, Finding{fmt.Sprintf(what, args...), cures})
}

func (e *examination) pass(what string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.report.Unchecked = append(e.report.Unchecked, fmt.Sprintf(what, args...))
}

func (e *examination) say(what string, args ...any) {
	if e.Progress != nil {
		e.Progress(fmt.Sprintf(what, args...))
	}
}

// reaches reports whether a gateway answers at all.
func (e *examination) reaches(ctx context.Context) bool {
	e.say("asking %s", e.URL)
	answer, err := e.ask(ctx, http.MethodGet, "/healthz", nil, nil)
	switch {
	case err != nil:
		e.find(cureAddress, "%s does not answer: %v.", e.URL, err)
		return false
	case answer.status != http.StatusOK || string(answer.body) != "ok\n":
		e.find(cureAddress, "What answers at %s is no gateway, or has none behind it: /healthz is answered by %s.", e.URL, answer)
		return false
	}
	if answer, err = e.ask(ctx, http.MethodGet, "/readyz", nil, nil); err == nil && answer.status != http.StatusOK {
		e.find(cureReady, "The node that was asked is not fit to take traffic, and the balancer sends it some: %s.", answer)
	}
	return true
}
