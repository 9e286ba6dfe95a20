package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisHistory implements History in Redis.
type redisHistory struct {
	// Immutable after construction.
	servers    *servers
	partitions []*partition
	pageReads  pools // limits reads of pages, which any client may request
	topReads   pools // limits reads of the positions that subscribes need

	pages flights[pageRequest, Page]
}

// Since implements History.
func (h *redisHistory) Since(ctx context.Context, channel string, after Position, most Most) (Page, error) {
	page, err := h.readPage(ctx, pageRequest{"since", channel, after, most})
	if err != nil {
		return Page{}, err
	}
	page.lose(after)
	return page, nil
}

// Latest implements History.
func (h *redisHistory) Latest(ctx context.Context, channel string, most Most) (Page, error) {
	return h.readPage(ctx, pageRequest{"latest", channel, Position{}, most})
}

// Clear implements History.
func (h *redisHistory) Clear(ctx context.Context, channel string) error {
	partition := h.servers.partitionOf(channel)
	err := h.servers.ask(ctx, partition, func(ctx context.Context, client *redis.Client) error {
		return client.Del(ctx, h.servers.prefixes[partition]+channel).Err()
	})
	if err != nil {
		return fmt.Errorf("clear history of %q: %w: %w", channel, ErrUnavailable, err)
	}
	return nil
}

// Tops implements History.
func (h *redisHistory) Tops(ctx context.Context, channels []string) ([]Top, error) {
	tops := make([]Top, len(channels))
	err := h.servers.inBatches(len(channels), topsBatch, func(i int) string { return channels[i] }, func(r realm, batch []int) error {
		return h.readTops(ctx, r, channels, batch, tops)
	})
	if err != nil {
		return tops, fmt.Errorf("read history of %d channels: %w: %w", len(channels), ErrUnavailable, err)
	}
	return tops, nil
}

const topsBatch = 500 // channels per call of the script

// readTops sets the tops of the channels at indexes, which are all of one realm.
func (h *redisHistory) readTops(ctx context.Context, r realm, channels []string, indexes []int, tops []Top) error {
	keys := make([]string, 0, 3*len(indexes))
	for _, i := range indexes {
		keys = append(keys, h.historyKeys(r.prefix+channels[i])...)
	}
	return h.read(ctx, h.topReads, r.number, topsScript, keys, nil, func(reply *redis.Cmd) (era string, err error) {
		told, err := reply.StringSlice()
		if err == nil && len(told) != len(keys) {
			err = errStrangeAnswer
		}
		if err != nil {
			return "", err
		}
		for n, i := range indexes {
			if tops[i], err = parseTop(told[3*n], told[3*n+1]); err != nil {
				return "", err
			}
		}
		return told[len(told)-1], nil
	})
}

// historyKeys returns the keys that every script of history gets for a channel.
func (h *redisHistory) historyKeys(name string) []string {
	return []string{name, name + metaSuffix, string(appendEraKey(nil, []byte(name), h.servers.clustered))}
}

func parseTop(cursor, former string) (top Top, err error) {
	if top.Position, err = ParsePosition(cursor); err == nil {
		top.Former, err = ParsePosition(former)
	}
	return top, err
}

// pageRequest is one call of the page script. Equal requests at the same time share one
// read.
type pageRequest struct {
	mode    string // "since" or "latest"
	channel string
	after   Position
	most    Most
}

func (h *redisHistory) readPage(ctx context.Context, q pageRequest) (Page, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	page, err := h.pages.do(ctx, q, func() (Page, error) { return h.runPage(q) })
	if err != nil {
		return Page{}, fmt.Errorf("read history of %q: %w: %w", q.channel, ErrUnavailable, err)
	}
	return page, nil
}

func (h *redisHistory) runPage(q pageRequest) (page Page, err error) {
	partition := h.servers.partitionOf(q.channel)
	keys := h.historyKeys(h.partitions[partition].prefix + q.channel)
	args := []any{q.mode, q.after.Epoch, q.after.Offset, q.most.Messages, q.most.Bytes}
	err = h.read(context.Background(), h.pageReads, partition, pageScript, keys, args, func(reply *redis.Cmd) (era string, err error) {
		told, err := reply.Slice()
		if err == nil {
			page, era, err = decodePage(q.channel, told)
		}
		return era, err
	})
	if q.mode == "latest" {
		slices.Reverse(page.Messages)
	}
	return page, err
}

// read runs a script of history as askIn does. It adds what the node vouches for to args. decode
// decodes the reply, and returns the era in it.
func (h *redisHistory) read(ctx context.Context, in pools, partition int, script *redis.Script, keys []string, args []any, decode func(*redis.Cmd) (era string, err error)) error {
	from := h.partitions[partition]
	return h.servers.askIn(ctx, in, partition, func(ctx context.Context, client *redis.Client) error {
		p, err := h.servers.take(ctx, client)
		if err != nil {
			return err
		}
		err = errors.ErrUnsupported // in case decode panics: give then closes the connection
		defer func() { h.servers.give(p, err) }()
		vouched := from.vouch(ctx, p, time.Now())
		arguments := vouched.arguments()
		era, err := decode(script.Run(ctx, p.conn, keys, slices.Concat(args, arguments[:])...))
		if err == nil {
			from.trust.learn(vouched, era, time.Now())
		}
		return err
	})
}

// decodePage decodes the reply of the page script: two cursors, the era and the entries.
func decodePage(channel string, reply []any) (page Page, era string, err error) {
	if len(reply) != 4 {
		return Page{}, "", errStrangeAnswer
	}
	cursor, _ := reply[0].(string)
	former, _ := reply[1].(string)
	top, err := parseTop(cursor, former)
	era, told := reply[2].(string)
	entries, ok := reply[3].([]any)
	if err != nil || !told || !ok {
		return Page{}, "", errStrangeAnswer
	}
	page = Page{Top: top.Position, Former: top.Former, Messages: make([]Message, 0, len(entries))}
	for _, entry := range entries {
		m, err := decodeEntry(channel, top.Epoch, entry)
		if err != nil {
			return Page{}, "", err
		}
		page.Messages = append(page.Messages, m)
	}
	return page, era, nil
}

// decodeEntry decodes one entry of a stream: its id, and its fields time and message.
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

// lose sets Lost if messages between after and the first one of the page are gone.
func (p *Page) lose(after Position) {
	switch {
	case after.IsZero(), after.Agrees(p.Top):
	case after.Agrees(p.Former):
		p.Lost = p.Top.Offset > 0 && (len(p.Messages) == 0 || p.Messages[0].Position.Offset != 1)
	case after.Epoch != p.Top.Epoch, after.Offset > p.Top.Offset:
		p.Lost = true
	case len(p.Messages) > 0:
		p.Lost = p.Messages[0].Position.Offset != after.Offset+1
	default:
		p.Lost = after.Offset < p.Top.Offset
	}
}
