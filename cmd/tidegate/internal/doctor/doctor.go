// Package doctor looks at a deployment from outside, through its load balancer, and says
// in words what is wrong with it.
package doctor

import (
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
