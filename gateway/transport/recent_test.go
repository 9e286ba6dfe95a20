package transport

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"tidegate/gateway"
)

func TestRecent_PollAnswersWithTheLastMessages(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: historyRules()})
	var third string
	for i := 1; i <= 5; i++ {
		if at := n.publish("news", fmt.Sprint(i)); i == 3 {
			third = at.String()
		}
	}
	n.publish("sport", `"goal"`)
	for query, want := range map[string][]string{
		"channel=news&recent=2":                 {"4", "5"},
		"channel=news&recent=100":               {"1", "2", "3", "4", "5"},
		"channel=news&recent=0":                 nil,
		"channel=news&channel=sport&recent=1":   {`"goal"`, "5"},
		"channel=news&channel=bare:at&recent=1": {"5"},
	} {
		got := n.poll(query)
		data := got.data()
		slices.Sort(data)
		if !slices.Equal(data, want) || got.Recovered != nil {
			t.Errorf("%s: answer %d %s, want %v", query, got.status, got.body, want)
		}
		if again := n.poll(query + "&wait=0s&cursor=" + url.QueryEscape(got.Cursor)); len(again.Messages) > 0 {
			t.Errorf("%s: the cursor brings again %s", query, again.body)
		}
	}
	if got := n.poll("channel=news&recent=4&cursor=" + third); fmt.Sprint(got.data()) != "[4 5]" { // the cursor takes precedence
		t.Errorf("answer %d %s", got.status, got.body)
	}
}

func TestRecent_StreamBeginsWithTheLastMessages(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: historyRules()})
	for i := 1; i <= 5; i++ {
		n.publish("news", fmt.Sprint(i))
	}
	l := n.listen("channel=news&recent=2")
	for _, want := range []string{"4", "5"} {
		if event, _ := l.next(); event.data != want {
			t.Errorf("heard %+v, want %s", event, want)
		}
	}
	n.publish("news", "6")
	event, _ := l.next()
	if event.data != "6" {
		t.Errorf("heard %+v", event)
	}
}

func TestRecent_IsANumber(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: historyRules()})
	for _, recent := range []string{"-1", "x", "1e3", "99999999999"} {
		if got := n.poll("channel=news&recent=" + recent); got.status != http.StatusBadRequest {
			t.Errorf("recent=%s: answer %d", recent, got.status)
		}
	}
}

// On a channel without messages, the answer has no messages but a cursor to continue from.
func TestRecent_OfNothingIsAPlaceToGoOnFrom(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: historyRules()})
	first := n.poll("channel=news&recent=5")
	l := n.listen("channel=news&recent=5")
	id := l.expectID()
	l.leave()
	n.publish("news", "1")
	if got := n.poll("channel=news&wait=0s&cursor=" + url.QueryEscape(first.Cursor)); fmt.Sprint(got.data()) != "[1]" {
		t.Errorf("with the cursor %q: answer %d %s", first.Cursor, got.status, got.body)
	}
	n.listen("channel=news", "Last-Event-ID", id).expect(data("1"))
}
