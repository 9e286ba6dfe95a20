package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Inspection is what one Redis server says about itself, as far as it matters to gateways.
type Inspection struct {
	Address  string
	Denied   []string          // commands that the user needs but may not run, as README.md lists them
	Refused  error             // why it accepts no messages; nil if it does
	Settings map[string]string // those of inspected that it tells, by their names in redis.conf
}

// inspected lists the settings of an Inspection. The value is the field of INFO, if any,
// that tells the same to a user who may not read settings.
var inspected = map[string]string{
	"maxmemory-policy": "maxmemory_policy", "client-output-buffer-limit": "",
}

// InspectRedis inspects each master of a Redis, as the user of c.URL, which may be the user
// of the gateways or an administrator. It publishes a message on a channel that no client
// can name. It returns an error if the masters cannot be inspected.
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
		_ = b.Run(running, first) // it ends only because running is canceled
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

// firstLink is a Receiver that passes on the first call of Link.
type firstLink struct{ said chan error }

func (*firstLink) Receive(Message)     {}
func (*firstLink) Gap([]string, error) {}
func (*firstLink) Rest()               {}
func (f *firstLink) Link(err error) {
	select {
	case f.said <- err:
	default: // not the first call
	}
}

func (b *Redis) inspect(ctx context.Context) (found []Inspection, err error) {
	err = b.servers.eachMaster(ctx, make(map[string]bool), func(ctx context.Context, client *redis.Client, partition int) (err error) {
		i := Inspection{Address: client.Options().Addr}
		if i.Settings, err = settingsOf(ctx, client); err != nil {
			return err
		}
		if i.Denied, err = b.servers.denied(ctx, client, partition); err != nil {
			return err
		}
		published := make(chan error, 1)
		b.lanes[partition].try(func(err error) { published <- err })
		if i.Refused = <-published; i.Refused != nil && refusalKind(i.Refused) == "" {
			return i.Refused
		}
		found = append(found, i)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ask redis about itself: %w", err)
	}
	slices.SortFunc(found, func(a, b Inspection) int { return strings.Compare(a.Address, b.Address) })
	return found, nil
}

// settingsOf returns the inspected settings that a server tells.
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
	return told, err
}
