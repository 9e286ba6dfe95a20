package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// answered counts the answers that publishers get.
type answered struct {
	// Guarded by mu.
	mu        sync.Mutex
	confirmed int
	slowest   time.Duration // of all answers
}

func (a *answered) note(status int, after time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.slowest = max(a.slowest, after)
	if status == http.StatusOK {
		a.confirmed++
	}
}

// take returns what was counted since the last call.
func (a *answered) take() (confirmed int, slowest time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	confirmed, slowest = a.confirmed, a.slowest
	a.confirmed, a.slowest = 0, 0
	return confirmed, slowest
}

// nodePatience is how long a publisher waits for a node, because a suspended one never answers.
const nodePatience = 2 * slowestAnswer

// publishOverHTTP starts all streams once every witness is subscribed.
func (s *storm) publishOverHTTP() {
	s.t.Helper()
	s.awaitWitnesses()
	publishing := s.startPublishing()
	for i, st := range s.streams {
		p := &publisher{storm: s, stream: st, next: i}
		s.publishers.Go(func() { p.run(publishing) })
	}
	s.flows(20)
}

// publisher publishes one stream. It sends each number to the next node in turn, and to the
// following one if that does not confirm it.
type publisher struct {
	storm  *storm
	stream *stream
	next   int // index of the next node
}

func (p *publisher) run(publishing context.Context) {
	tick := time.NewTicker(p.stream.every)
	defer tick.Stop()
	for publishing.Err() == nil {
		p.publishNext()
		select {
		case <-tick.C:
		case <-publishing.Done():
		}
	}
}

func (p *publisher) publishNext() {
	p.stream.turn.Lock()
	defer p.stream.turn.Unlock()
	number := int(p.stream.last.Load()) + 1
	for !p.post(number) {
		if p.storm.ctx.Err() != nil {
			return
		}
		p.next++
		if p.stream.keyless {
			p.stream.unsure[number] = true
			break
		}
		wait(p.storm.ctx, 20*time.Millisecond)
	}
	p.stream.confirmed[number] = time.Now()
	p.stream.last.Store(int64(number))
}

// post reports whether a node has confirmed the number.
func (p *publisher) post(number int) bool {
	ctx, cancel := context.WithTimeout(p.storm.ctx, nodePatience)
	defer cancel()
	node := p.next % stormNodes
	absences := p.storm.absences[node].Load()
	url := "http://" + p.storm.addresses[node] + "/api/channels/" + p.stream.channel + "/messages"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(strconv.Itoa(number)))
	if err != nil {
		p.storm.t.Error(err)
		return false
	}
	request.Header.Set("Content-Type", "application/json")
	if !p.stream.keyless {
		request.Header.Set("Idempotency-Key", keyOf(number))
	}
	began := time.Now()
	response, err := p.storm.http.Do(request)
	if err != nil {
		return false // the node is gone or suspended
	}
	response.Body.Close()
	took := time.Since(began)
	if absences%2 == 1 || absences != p.storm.absences[node].Load() {
		took = 0 // it was suspended
	}
	p.storm.published.note(response.StatusCode, took)
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusServiceUnavailable {
		p.storm.t.Errorf("publish: %s", response.Status)
	}
	return response.StatusCode == http.StatusOK
}

func keyOf(number int) string { return fmt.Sprint("n", number) }
