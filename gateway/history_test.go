package gateway_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

func TestHistory_IsReadFromEverywhere(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: rules.List{{Match: "*", Subscribe: rules.Anyone, HistorySize: 10}}})
	var at [16]broker.Position
	for i := 1; i <= 15; i++ { // 6 to 15 are kept
		at[i] = n.publish("log", "%d", i)
	}
	ahead := broker.Position{Epoch: at[1].Epoch, Offset: 99}
	for _, c := range []struct {
		name string
		of   gateway.History
		want string
	}{
		{"the newest", gateway.History{Limit: 2}, "[14 15]"},
		{"the oldest", gateway.History{Limit: 2, Oldest: true}, "[6 7]"},
		{"after", gateway.History{Limit: 2, Cursor: at[8].String()}, "[9 10]"},
		{"after what is gone", gateway.History{Limit: 2, Cursor: at[2].String()}, "[6 7] lost"},
		{"before", gateway.History{Limit: 3, Cursor: at[12].String(), Before: true}, "[9 10 11]"},
		{"before, to the beginning", gateway.History{Limit: 9, Cursor: at[8].String(), Before: true}, "[6 7]"},
		{"before the beginning", gateway.History{Limit: 9, Cursor: at[6].String(), Before: true}, "[]"},
		{"before what is gone", gateway.History{Limit: 9, Cursor: at[3].String(), Before: true}, "[]"},
		{"before the first", gateway.History{Cursor: at[1].String(), Before: true}, "[]"},
		{"before nothing", gateway.History{Cursor: at[1].Epoch + ":0", Before: true}, "[]"},
		{"before the end", gateway.History{Limit: 2, Cursor: ahead.String(), Before: true}, "[14 15]"},
		{"all before the end", gateway.History{Cursor: ahead.String(), Before: true}, "[6 7 8 9 10 11 12 13 14 15]"},
		{"after another epoch", gateway.History{Limit: 1, Cursor: "other:3"}, "[6] lost unknown"},
		{"before another epoch", gateway.History{Limit: 1, Cursor: "other:3", Before: true}, "[6] lost unknown"},
	} {
		c.of.Channel = "log"
		page, err := n.ReadHistory(t.Context(), &backend, c.of)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := pageText(page); got != c.want || page.Top != at[15] {
			t.Errorf("%s: %s, top %v, want %s", c.name, got, page.Top, c.want)
		}
	}
}

// Reading backwards leaves no holes, however little room there is.
func TestHistory_BeforeAPositionEndsThere(t *testing.T) {
	n := startNode(t, gateway.Config{
		Rules: rules.List{{Match: "*", Subscribe: rules.Anyone, HistorySize: 100}}, Limits: gateway.Limits{OutboxBytes: 8 << 10},
	})
	var at broker.Position
	for i := range 50 {
		at = n.publish("log", "%d%s", i, strings.Repeat(" ", i*20))
	}
	left := 49
	for left > 0 {
		page, err := n.ReadHistory(t.Context(), &backend, gateway.History{Channel: "log", Cursor: at.String(), Before: true})
		if err != nil || len(page.Messages) == 0 {
			t.Fatalf("before %v: %d messages, %v", at, len(page.Messages), err)
		}
		for i := len(page.Messages) - 1; i >= 0; i-- {
			left--
			if got := strings.TrimSpace(string(page.Messages[i].Payload)); got != fmt.Sprint(left) {
				t.Fatalf("%s came before %d", got, left+1)
			}
		}
		at = page.Messages[0].Position
	}
}

// lender is a history that remembers the last page that it returned.
type lender struct {
	*broker.Memory
	lent broker.Page
}

func (l *lender) Since(ctx context.Context, channel string, after broker.Position, most broker.Most) (page broker.Page, err error) {
	l.lent, err = l.Memory.Since(ctx, channel, after, most)
	return l.lent, err
}

// Others may be reading the same page.
func TestHistory_BeforeAPositionLeavesThePageAsItIs(t *testing.T) {
	l := &lender{Memory: broker.NewMemory()}
	n := startNode(t, gateway.Config{
		Broker: l, History: l, Rules: rules.List{{Match: "*", Subscribe: rules.Anyone, HistorySize: 5}},
	})
	var at [10]broker.Position // the last 5 are kept
	for i := range at {
		at[i] = n.publish("log", "%d", i)
	}
	page, err := n.ReadHistory(t.Context(), &backend, gateway.History{Channel: "log", Limit: 5, Cursor: at[6].String(), Before: true})
	must(t, err)
	if got := pageText(page); got != "[5]" {
		t.Errorf("read %s", got)
	}
	if got := pageText(gateway.HistoryPage{Page: l.lent}); got != "[5 6 7 8 9] lost" {
		t.Errorf("the page has become %s", got)
	}
}

func pageText(page gateway.HistoryPage) string {
	var payloads []string
	for _, m := range page.Messages {
		payloads = append(payloads, string(m.Payload))
	}
	text := fmt.Sprint(payloads)
	if page.Lost {
		text += " lost"
	}
	if page.Unknown {
		text += " unknown"
	}
	return text
}
