package ctl

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func busy(channels int) *load {
	l := &load{at: time.Now(), Nodes: []nodeLoad{{Node: "n1"}, {Node: "n2", Unready: "the broker is away"}, {Node: "n3", Silent: true}, {Node: "n4", Slow: 1}}}
	for i := range channels {
		l.Channels = append(l.Channels, struct {
			Channel  string
			Rate     float64
			Sessions int
		}{fmt.Sprint("channel-", i, "\x1b[2J"), 1234.5, i})
	}
	return l
}

func TestTop_PageFitsOnTheScreen(t *testing.T) {
	asked := &top{channels: 20, interval: time.Second}
	for height := range 40 {
		page := asked.page(busy(20), nil, height)
		if len(page) > height {
			t.Errorf("%d lines on %d", len(page), height)
		}
		if all := strings.Join(plainLines(page), "\n"); height >= 9 && !strings.Contains(all, "n4") || height >= 13 && !strings.Contains(all, "channel-0") || strings.Contains(all, "\x1b") {
			t.Errorf("on %d lines: %q", height, all)
		}
	}
}

func TestTop_WhatIsWrongStandsOut(t *testing.T) {
	moods := map[string]mood{}
	for _, l := range busy(0).lines(20) {
		name, _, _ := strings.Cut(l.text, " ")
		moods[name] = l.mood
	}
	for name, want := range map[string]mood{"n1": good, "n2": bad, "n3": bad, "n4": odd} {
		if moods[name] != want {
			t.Errorf("%s is %q, want %q", name, moods[name], want)
		}
	}
	asked := &top{}
	if page := asked.page(busy(0), errors.New("refused"), 20); page[0].mood != bad || !strings.HasPrefix(page[0].text, "NO ANSWER since ") {
		t.Errorf("%+v", page[0])
	}
}

func TestShort(t *testing.T) {
	for n, want := range map[float64]string{0: "0", 0.04: "0.0", 0.5: "0.5", 9.96: "10", 12.3: "12", 999.4: "999", 999.6: "1.0k", 1000: "1k", 1234: "1.2k", 56789: "57k", 1.5e6: "1.5M", 3e12: "3000G"} {
		if got := short(n); got != want {
			t.Errorf("%v is %q, want %q", n, got, want)
		}
	}
	if got := shortBytes(1536); got != "1.5KiB" {
		t.Error(got)
	}
}
