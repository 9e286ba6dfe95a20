package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// Inspection is what one server of a Redis says about itself, as far as it matters to
// gateways.
type Inspection struct {
	Address  string
	Denied   []string          // what the user needs and must not do, as README.md lists it
	Refused  error             // why it takes no messages; nil: it does
	Settings map[string]string // by their names in redis.conf: those of inspected that it tells
}

// inspected are the settings that an Inspection has. What is behind the colon is a field
// of INFO that says the same to a user that may not ask for settings.
var inspected = map[string]string{
	"maxmemory-policy": "maxmemory_policy", "appendonly": "aof_enabled",
	"appendfsync": "", "save": "", "client-output-buffer-limit": "",
}

// InspectRedis asks each master of a Redis, as the user of c.URL, who is one that gateways
// have or an administrator. It publishes a message that no client can listen to. An error
// says that none can be asked.
func InspectRedis(ctx context.Context, c RedisConfig) ([]Inspection, error) {
	b, err := NewRedis(c)
	if err != nil {
		return nil, err
	}
	first := &firstLink{said: make(chan error, 1)}
	running, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = b.Run(running, first) // it ends when it is told to
	}()
	defer func() { stop(); <-ended }()
	var link error
	select {
	case link = <-first.said:
	case <-ctx.Done():
		link = context.Cause(ctx)
	}
	for attempt := 1; ; attempt++ {
		found, err := b.inspect(ctx)
		if err == nil {
			return found, nil
		}
		if attempt == inspectAttempts || !sleep(ctx, rightsPause) {
			return nil, errors.Join(link, err)
		}
	}
}

const inspectAttempts = 3

// firstLink is a Receiver that hears whether Redis can be used.
type firstLink struct{ said chan error }

func (*firstLink) Receive(Message)     {}
func (*firstLink) Gap([]string, error) {}
func (*firstLink) Rest()               {}
func (f *firstLink) Link(err error) {
	select {
	case f.said <- err:
	default: // it has been said
	}
}

func (b *Redis) inspect(ctx context.Context) ([]Inspection, error) {
	byAddress := make(map[string]Inspection)
	for _, p := range b.partitions {
		err := b.servers.ask(ctx, p.prefix, func(ctx context.Context, client *redis.Client) error {
			address := client.Options().Addr
			if _, known := byAddress[address]; known {
				return nil
			}
			settings, err := settingsOf(ctx, client)
			byAddress[address] = Inspection{Address: address, Settings: settings}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("ask redis about itself: %w", err)
		}
	}
	denied, err := b.servers.denied(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask redis for the rights: %w", err)
	}
	_, refused := Publish(ctx, b, Message{Channel: probeChannel}, PublishOptions{HistorySize: 1, HistoryTTL: time.Second})
	if refused != nil && refusalKind(refused) == "" {
		return nil, refused
	}
	found := make([]Inspection, 0, len(byAddress))
	for _, address := range slices.Sorted(maps.Keys(byAddress)) {
		i := byAddress[address]
		i.Denied, i.Refused = denied, refused
		found = append(found, i)
	}
	return found, nil
}

// settingsOf returns what a server tells of its settings.
func settingsOf(ctx context.Context, client *redis.Client) (map[string]string, error) {
	told := make(map[string]string)
	for name := range inspected {
		values, err := client.ConfigGet(ctx, name).Result()
		switch {
		case refusalKind(err) != "":
			return settingsOfInfo(ctx, client)
		case err != nil:
			return nil, err
		}
		maps.Copy(told, values)
	}
	return told, nil
}

func settingsOfInfo(ctx context.Context, client *redis.Client) (map[string]string, error) {
	told := make(map[string]string)
	info, err := client.Info(ctx).Result()
	if refusalKind(err) != "" {
		return told, nil
	}
	for name, field := range inspected {
		if value := fieldOf(info, field); field != "" && value != "" {
			told[name] = value
		}
	}
	switch told["appendonly"] {
	case "0":
		told["appendonly"] = "no"
	case "1":
		told["appendonly"] = "yes"
	}
	return told, err
}
