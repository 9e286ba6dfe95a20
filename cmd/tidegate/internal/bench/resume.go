package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// backlog is the messages on each channel that the sessions missed while disconnected, and
// recover when they subscribe.
type backlog struct {
	messages int      // per channel
	cursors  []string // per channel, from before the messages; nil if nothing was missed
}

var recovered = []byte(`"recovered":true`)

// publish publishes the messages on n channels, up to connectsAtOnce channels at a time, and
// sets the cursors.
func (b *backlog) publish(ctx context.Context, site *site, n int) error {
	if b.messages == 0 {
		return nil
	}
	if site.adapter != native {
		return errors.New("--resume works with the adapter tidegate only")
	}
	b.cursors = make([]string, n)
	publishers := make(chan *Client, connectsAtOnce)
	defer func() {
		close(publishers)
		for client := range publishers {
			client.Close()
		}
	}()
	atOnce := min(n, connectsAtOnce)
	err := site.connectAll(ctx, atOnce, atOnce, func(ctx context.Context, i int) error {
		client, err := site.open(ctx, i, true, site.channel(i))
		if err == nil {
			client.endless()
			publishers <- client
		}
		return err
	})
	if err != nil {
		return err
	}
	return site.connectAll(ctx, n, atOnce, func(_ context.Context, i int) (err error) {
		client := <-publishers
		defer func() { publishers <- client }()
		b.cursors[i], err = client.publishBehindCursor(site.channel(i), b.messages)
		return err
	})
}

// publishBehindCursor publishes messages on a channel. It returns the cursor from before the
// first one.
func (c *Client) publishBehindCursor(channel string, messages int) (cursor string, err error) {
	if err := c.Write(fmt.Appendf(nil, `{"type":"history","id":1,"channel":%q,"limit":1}`, channel)); err != nil {
		return "", err
	}
	if cursor, err = c.awaitCursor(); err != nil {
		return "", err
	}
	for range messages {
		c.add(fmt.Appendf(nil, `{"type":"publish","id":2,"channel":%q,"data":%s}`, channel, payloadText(128)))
	}
	if err := c.flush(); err != nil {
		return "", err
	}
	return cursor, c.await(`"type":"published"`, messages)
}

func (c *Client) awaitCursor() (string, error) {
	for {
		frame, err := c.Read()
		if err != nil {
			return "", err
		}
		if err := c.adapter.refusal(frame); err != nil {
			return "", err
		}
		var answer struct{ Type, Cursor string }
		if json.Unmarshal(frame, &answer) == nil && answer.Type == "history" {
			if answer.Cursor == "" {
				return "", errors.New("the gateway keeps no history: add one to its rule for " + channelPrefix + "*")
			}
			return answer.Cursor, nil
		}
	}
}

// resume subscribes with cursors and returns when all missed messages have arrived. It
// returns an error if the gateway could not recover all of them.
func (c *Client) resume(channels, cursors []string, messages int) error {
	for i, channel := range channels {
		c.add(fmt.Appendf(nil, `{"type":"subscribe","id":1,"channel":%q,"cursor":%q}`, channel, cursors[i]))
	}
	if err := c.flush(); err != nil {
		return err
	}
	for due, missed := len(channels), len(channels)*messages; due > 0 || missed > 0; {
		frame, err := c.Read()
		if err != nil {
			return fmt.Errorf("awaiting %d channels and %d missed messages: %w", due, missed, err)
		}
		if err := c.adapter.refusal(frame); err != nil {
			return err
		}
		due -= bytes.Count(frame, recovered)
		missed -= bytes.Count(frame, []byte(publicationMark))
		if bytes.Contains(frame, []byte(`"recovered":false`)) {
			return fmt.Errorf("the history no longer has all missed messages: %.200s", frame)
		}
	}
	return nil
}
