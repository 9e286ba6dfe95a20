// Package doctor examines a deployment from outside, through its load balancer, and says in
// words what is wrong.
package doctor

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"tidegate/broker"
	"tidegate/cmd/tidegate/internal/terminal"
)

// Config says what to examine. URL is required.
type Config struct {
	URL      *url.URL           // of the public listener, http or https, without a path
	Key      string             // an unrestricted API key; without one, some checks are skipped
	Origins  []string           // of pages that must be allowed
	Patience time.Duration      // how long to watch idle connections; zero skips these checks
	Redis    broker.RedisConfig // without a URL, Redis is not examined
	Progress *terminal.Progress // shows the current step; may be nil
}

// Report is the result of an examination.
type Report struct {
	Findings  []Finding `json:"findings"`
	Unchecked []string  `json:"unchecked"` // what could not be checked, and why

	interrupted bool // some checks were not made
}

// Finding is a problem, in one sentence.
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
	eventPatience  = 10 * time.Second // for an event that a stream should send at once
)

// examination is the state of one examination.
type examination struct {
	Config
	http    *http.Client
	channel string      // nobody else subscribes to it
	over    func() bool // whether the examination was interrupted

	mu     sync.Mutex
	report Report // guarded by mu
}

// find adds a finding, unless an interruption may have caused it.
func (e *examination) find(cures []Cure, what string, args ...any) {
	if e.over() {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.report.Findings = append(e.report.Findings, Finding{fmt.Sprintf(what, args...), cures})
}

func (e *examination) pass(what string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.report.Unchecked = append(e.report.Unchecked, fmt.Sprintf(what, args...))
}
