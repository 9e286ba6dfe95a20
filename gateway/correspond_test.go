package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"tidegate/gateway"
)

func TestTell_ReachesWhoHearsTheTopicInOrder(t *testing.T) {
	members := startCluster(t, 2, gateway.Config{PresenceLease: never})
	heard := make(chan string, 40)
	ear := func(from string, body json.RawMessage) error {
		if string(body) == `"no"` {
			return &gateway.Error{Code: gateway.RateLimited, Message: "no"}
		}
		heard <- from + " " + string(body)
		return nil
	}
	members[1].Nodes.Hear("numbers", ear)
	for _, from := range []int{0, 1} {
		for i := range 20 {
			must(t, members[from].Nodes.Tell(t.Context(), "n1", "numbers", i))
			want, _ := json.Marshal(i)
			if got := <-heard; got != members[from].Node()+" "+string(want) {
				t.Fatalf("heard %s, want %s of n%d", got, want, from)
			}
		}
		wantCode(t, members[from].Nodes.Tell(t.Context(), "n1", "numbers", "no"), gateway.RateLimited)
		wantCode(t, members[from].Nodes.Tell(t.Context(), "n1", "letters", "a"), gateway.Unavailable)
	}
	wantCode(t, members[0].Nodes.Tell(t.Context(), "n7", "numbers", 1), gateway.Unavailable)
	ended, end := context.WithCancelCause(t.Context())
	end(errors.New("enough"))
	wantCode(t, members[0].Nodes.Tell(ended, "n1", "numbers", 1), gateway.Unavailable)
}
