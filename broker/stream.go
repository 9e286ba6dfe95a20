package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Since is documented at History.
func (b *Redis) Since(ctx context.Context, channel string, after Position, most Most) (Page, error) {
	page, err := b.readPage(ctx, pageRequest{"since", channel, after, most})
	if err != nil {
		return Page{}, err
	}
	page.lose(after)
	return page, nil
}

// Latest is documented at History.
func (b *Redis) Latest(ctx context.Context, channel string, most Most) (Page, error) {
	return b.readPage(ctx, pageRequest{"latest", channel, Position{}, most})
}

// Clear is documented at History.
func (b *Redis) Clear(ctx context.Context, channel string) error {
	i := b.partitionOf(channel)
	err := b.ask(ctx, b.prefixOf(i), func(ctx context.Context, client *redis.Client) error {
		return client.Del(ctx, b.prefixOf(i)+channel).Err()
	})
	if err != nil {
		return fmt.Errorf("clear history of %q: %w: %w", channel, ErrUnavailable, err)
	}
	return nil
}

// Tops is documented at History.
func (b *Redis) Tops(ctx context.Context, channels []string) ([]Top, error) {
	byPartition := make(map[int][]int) // indexes of channels
	for i, channel := range channels {
		partition := b.partitionOf(channel)
		byPartition[partition] = append(byPartition[partition], i)
	}
	tops := make([]Top, len(channels))
	errs := make([]error, len(b.partitions))
	var wait sync.WaitGroup
	for partition, indexes := range byPartition {
		wait.Go(func() { errs[partition] = b.readTops(ctx, partition, channels, indexes, tops) })
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return tops, fmt.Errorf("read history of %d channels: %w: %w", len(channels), ErrUnavailable, err)
	}
	return tops, nil
}

const topsBatch = 500 // channels of one script

// readTops sets the tops of the indexed channels, all of one partition.
func (b *Redis) readTops(ctx context.Context, partition int, channels []string, indexes []int, tops []Top) error {
	prefix := b.prefixOf(partition)
	return b.read(ctx, b.topReads, prefix, func(ctx context.Context, client *redis.Client) error {
		for batch := range slices.Chunk(indexes, topsBatch) {
			keys := make([]string, 0, 2*len(batch))
			for _, i := range batch {
				keys = append(keys, prefix+channels[i], prefix+channels[i]+metaSuffix)
			}
			cursors, err := b.topsScript.Run(ctx, client, keys).StringSlice()
			if err != nil {
				return err
			}
			if len(cursors) != 2*len(batch) {
				return errStrangeAnswer
			}
			for n, i := range batch {
				if tops[i], err = parseTop(cursors[2*n], cursors[2*n+1]); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func parseTop(cursor, former string) (top Top, err error) {
	if top.Position, err = ParsePosition(cursor); err == nil {
		top.Former, err = ParsePosition(former)
	}
	return top, err
}

// pageRequest is one question to the page script. Equal ones at one time are
// answered by one read.
type pageRequest struct {
	mode    string // since or latest
	channel string
	after   Position
	most    Most
}

func (b *Redis) readPage(ctx context.Context, q pageRequest) (Page, error) {
	page, err := b.pages.do(ctx, q, func() (Page, error) { return b.runPage(q) })
	if err != nil {
		return Page{}, fmt.Errorf("read history of %q: %w: %w", q.channel, ErrUnavailable, err)
	}
	return page, nil
}

func (b *Redis) runPage(q pageRequest) (page Page, err error) {
	prefix := b.prefixOf(b.partitionOf(q.channel))
	keys := []string{prefix + q.channel, prefix + q.channel + metaSuffix}
	args := []any{q.mode, q.after.Epoch, q.after.Offset, q.most.Messages, q.most.Bytes}
	err = b.read(context.Background(), b.pageReads, prefix, func(ctx context.Context, client *redis.Client) error {
		reply, err := b.pageScript.Run(ctx, client, keys, args...).Slice()
		if err == nil {
			page, err = decodePage(q.channel, reply)
		}
		return err
	})
	if q.mode == "latest" {
		slices.Reverse(page.Messages)
	}
	return page, err
}

// read is askIn for what reads history.
func (b *Redis) read(ctx context.Context, p pool, prefix string, f func(context.Context, *redis.Client) error) error {
	if observe := b.config.Observe.HistoryRead; observe != nil {
		defer observe()
	}
	return b.askIn(ctx, p, prefix, f)
}

// ask is askIn for what reads and writes no history.
func (b *Redis) ask(ctx context.Context, prefix string, f func(context.Context, *redis.Client) error) error {
	return b.askIn(ctx, b.others, prefix, f)
}

// pool holds a token for each of what is under way. What may wait for long, or is
// asked for by whom nobody knows, has a pool of its own, so that the rest passes.
type pool chan struct{}

const poolSize = 8

// askIn calls f with the client of a partition, with readTimeout in all. If another
// server is the master it calls f again.
func (b *Redis) askIn(ctx context.Context, p pool, prefix string, f func(context.Context, *redis.Client) error) error {
	if err := b.usable(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	select {
	case p <- struct{}{}:
		defer func() { <-p }()
	case <-ctx.Done():
		return errNoAnswer
	case <-b.ended:
		return errNotRunning
	}
	for attempt := 0; ; attempt++ {
		err := b.askOnce(ctx, prefix, f)
		if !wrongMaster(err) || attempt == masterAttempts || !b.findMaster(ctx) {
			return err
		}
	}
}

func (b *Redis) askOnce(ctx context.Context, prefix string, f func(context.Context, *redis.Client) error) error {
	client, err := b.topology.client(ctx, prefix)
	if err != nil {
		return err
	}
	start := time.Now()
	err = b.wall(func() error { return f(ctx, client) })
	if observe := b.config.Observe.RoundTrip; observe != nil {
		observe(time.Since(start))
	}
	if isLost(err) {
		b.topology.stale(ctx)
	}
	return err
}

var errStrangeAnswer = errors.New("redis gave an answer that the script does not give")

// decodePage reads the page script's reply: two cursors, then the entries.
func decodePage(channel string, reply []any) (Page, error) {
	if len(reply) != 3 {
		return Page{}, errStrangeAnswer
	}
	cursor, _ := reply[0].(string)
	former, _ := reply[1].(string)
	top, err := parseTop(cursor, former)
	entries, ok := reply[2].([]any)
	if err != nil || !ok {
		return Page{}, errStrangeAnswer
	}
	page := Page{Top: top.Position, Former: top.Former, Messages: make([]Message, 0, len(entries))}
	for _, entry := range entries {
		m, err := decodeEntry(channel, top.Epoch, entry)
		if err != nil {
			return Page{}, err
		}
		page.Messages = append(page.Messages, m)
	}
	return page, nil
}

// decodeEntry reads one entry of a stream: its id, and its fields time and
// message.
func decodeEntry(channel, epoch string, entry any) (Message, error) {
	parts, _ := entry.([]any)
	if len(parts) != 2 {
		return Message{}, errStrangeAnswer
	}
	id, _ := parts[0].(string)
	fields, _ := parts[1].([]any)
	offset, err := strconv.ParseUint(strings.TrimPrefix(id, "0-"), 10, 64)
	if err != nil || len(fields) < 4 {
		return Message{}, fmt.Errorf("stream entry %q was not written by Tidegate", id)
	}
	data, _ := fields[3].(string)
	m := DecodeEnvelope(channel, data)
	m.Position = Position{Epoch: epoch, Offset: offset}
	return m, nil
}

// lose sets Lost, if messages between after and the first of the page are gone.
func (p *Page) lose(after Position) {
	switch {
	case after.IsZero():
	case after.Epoch != p.Top.Epoch, after.Offset > p.Top.Offset:
		p.Lost = true
	case len(p.Messages) > 0:
		p.Lost = p.Messages[0].Position.Offset != after.Offset+1
	default:
		p.Lost = after.Offset < p.Top.Offset
	}
}
