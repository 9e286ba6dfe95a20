package ctl

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
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
		page := asked.page(busy(20), nil, 80, height)
		if len(page) > height {
			t.Errorf("%d lines on %d", len(page), height)
		}
		if all := strings.Join(plainLines(page), "\n"); height >= 9 && !strings.Contains(all, "n4") || height >= 13 && !strings.Contains(all, "channel-0") || strings.Contains(all, "\x1b") {
			t.Errorf("on %d lines: %q", height, all)
		}
	}
}

// On a narrow screen, names are shortened and columns are left out from the right. No
// number is truncated.
func TestTop_TablesFitTheWidth(t *testing.T) {
	l := busy(3)
	for i := range l.Nodes {
		l.Nodes[i].Since = time.Now().UnixMilli()
		l.Nodes[i].Node, l.Nodes[i].Version, l.Nodes[i].Host = fmt.Sprint(i, "3x9p2m7c5v8b1n4"), "v0.0.0-20261128153158-05dd44572e9c", "gateway-6f7d8c9b5-x2x4z"
	}
	l.Channels[0].Channel = strings.Repeat("ö", 255)
	for width := 20; width < 300; width++ {
		for _, one := range plainLines(l.lines(20, width))[2:] {
			if got := utf8.RuneCountInString(one); got > width {
				t.Errorf("%d wide on %d: %q", got, width, one)
			}
		}
	}
	for width, want := range map[int]string{
		80:  "NODE STATE SESSIONS IN/s OUT/s LAG SLOW PUB/s FAIL/s REDIS",
		120: "NODE STATE SESSIONS IN/s OUT/s LAG SLOW PUB/s FAIL/s REDIS WAITING BYTES/s NEW/s CHANNELS UP",
		0:   "NODE STATE SESSIONS IN/s OUT/s LAG SLOW PUB/s FAIL/s REDIS WAITING BYTES/s NEW/s CHANNELS UP HOST VERSION",
	} {
		if got := strings.Join(strings.Fields(l.lines(20, width)[2].text), " "); got != want {
			t.Errorf("on %d: %s, want %s", width, got, want)
		}
	}
	if first := l.lines(20, 80)[3].text; !strings.HasPrefix(first, "03x9p2m7c5v8… ") {
		t.Errorf("the first node is %q", first)
	}
}

func TestTop_WhatIsWrongStandsOut(t *testing.T) {
	moods := map[string]mood{}
	for _, l := range busy(0).lines(20, 0) {
		name, _, _ := strings.Cut(l.text, " ")
		moods[name] = l.mood
	}
	for name, want := range map[string]mood{"n1": good, "n2": bad, "n3": bad, "n4": odd} {
		if moods[name] != want {
			t.Errorf("%s is %q, want %q", name, moods[name], want)
		}
	}
	asked := &top{}
	if page := asked.page(busy(0), errors.New("refused"), 80, 20); page[0].mood != bad || !strings.HasPrefix(page[0].text, "NO ANSWER since ") {
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
