package broker

import (
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"
)

// What is still under way when a node ends opens no connection that nobody closes.
func TestTopology_OpensNothingOnceClosed(t *testing.T) {
	for name, used := range map[string]bool{"used before": true, "not used before": false} {
		t.Run(name, func(t *testing.T) {
			s := newTopology(redisDialer{target: redisTarget{addresses: []string{"127.0.0.1:1"}}}, nil)
			if used {
				_, _ = s.client(t.Context(), "")
			}
			s.close()
			client, err := s.client(t.Context(), "")
			if err == nil {
				err = client.Ping(t.Context()).Err()
			}
			if !errors.Is(err, redis.ErrClosed) {
				t.Errorf("after close: %v", err)
			}
		})
	}
}
