package broker

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Put implements Notices.
func (p *redisPresence) Put(ctx context.Context, by Attendant, list []Notice) ([]bool, error) {
	inLine := make([]bool, len(list))
	err := p.servers.inBatches(len(list), putBatch, func(i int) string { return list[i].Channel }, func(r realm, batch []int) error {
		err := p.put(ctx, r, by, list, batch)
		for _, i := range batch {
			inLine[i] = err == nil
		}
		return err
	})
	if err != nil {
		return inLine, fmt.Errorf("put notices in line: %w: %w", ErrUnavailable, err)
	}
	return inLine, nil
}

// put puts the notices at indexes, which are all of one realm, in line.
func (p *redisPresence) put(ctx context.Context, r realm, by Attendant, list []Notice, indexes []int) error {
	var args []any
	for _, i := range indexes {
		n := &list[i]
		var message []byte
		var key string
		if n.Message != nil {
			message, key = AppendEnvelope(nil, *n.Message), n.Message.Key
		}
		args = append(args, n.Line, by.roomFor(n), n.Event, n.Channel, n.User, n.Session, []byte(n.Info), message, key)
	}
	keys := []string{r.prefix + noticesKey, r.prefix + droppedKey}
	return p.servers.ask(ctx, r.number, func(ctx context.Context, client *redis.Client) error {
		return ignoreNil(putScript.Run(ctx, client, keys, args...).Err())
	})
}

// lineKey returns the name of key for a line.
func (r realm) lineKey(key, line string) string {
	if line == "" {
		return r.prefix + key
	}
	return r.prefix + key + " " + line
}

// Take implements Notices. In a Cluster, each partition may give an equal share of what is asked
// for. Then those that have more share what the others have left.
func (p *redisPresence) Take(ctx context.Context, t Teller) (line Line, err error) {
	lines := make([]Line, len(p.servers.realms))
	take := func(realms []realm, most int) error {
		return eachRealm(realms, func(r realm) error { return p.takeLine(ctx, r, t, most, &lines[r.number]) })
	}
	share := max(t.Most/len(lines), 1)
	err = take(p.servers.realms, share)
	left, more := t.Most, []realm(nil)
	for i, l := range lines {
		if left -= len(l.Notices); len(l.Notices) == share {
			more = append(more, p.servers.realms[i])
		}
	}
	if len(more) > 0 && left >= len(more) {
		_ = take(more, share+left/len(more)) // after an error they give their share
	}
	for _, l := range lines {
		line.Notices, line.Dropped = append(line.Notices, l.Notices...), line.Dropped+l.Dropped
		if l.Holder != "" {
			line.Holder = l.Holder
		}
	}
	if len(line.Notices) > 0 {
		line.Holder = ""
	}
	if err != nil && len(line.Notices) == 0 && line.Dropped == 0 {
		return Line{}, fmt.Errorf("take notices: %w: %w", ErrUnavailable, err)
	}
	return line, nil
}

// takeLine takes notices from one realm. It replaces those of line unless it fails.
func (p *redisPresence) takeLine(ctx context.Context, r realm, t Teller, most int, line *Line) error {
	keys := []string{r.lineKey(tellerKey, t.Line), r.lineKey(noticesKey, t.Line), r.lineKey(droppedKey, t.Line)}
	args := []any{t.Node, t.Lease.Milliseconds(), most, r.keepFrom(t.Delivered)}
	return p.servers.ask(ctx, r.number, func(ctx context.Context, client *redis.Client) error {
		reply, err := takeScript.Run(ctx, client, keys, args...).Slice()
		if err != nil {
			return err
		}
		if len(reply) != 3 {
			return errStrangeAnswer
		}
		line.Holder, _ = reply[0].(string)
		line.Dropped += int(number(reply[1]))
		entries, _ := reply[2].([]any)
		notices := make([]Notice, len(entries))
		for i, entry := range entries {
			if notices[i], err = r.decodeNotice(entry); err != nil {
				return err
			}
		}
		line.Notices = notices
		return nil
	})
}

// keepFrom returns the first stream id to keep after notices have been delivered, or "" if
// none of them is of the realm.
func (r realm) keepFrom(delivered []string) string {
	prefix := strconv.Itoa(r.number) + ":"
	for i := len(delivered) - 1; i >= 0; i-- {
		if id, ok := strings.CutPrefix(delivered[i], prefix); ok {
			milliseconds, digits, _ := strings.Cut(id, "-")
			n, _ := strconv.ParseUint(digits, 10, 64)
			return milliseconds + "-" + strconv.FormatUint(n+1, 10)
		}
	}
	return ""
}

// decodeNotice decodes an entry of the realm's stream. The ID of a notice is the number of the
// realm and the id in the stream, as in 17:1763845845123-0.
func (r realm) decodeNotice(entry any) (n Notice, err error) {
	parts, _ := entry.([]any)
	if len(parts) != 2 {
		return n, errStrangeAnswer
	}
	id, _ := parts[0].(string)
	fields := texts(parts[1])
	digits, _, _ := strings.Cut(id, "-")
	at, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || len(fields)%2 != 0 {
		return n, errStrangeAnswer
	}
	said := make(map[string]string)
	for pair := range slices.Chunk(fields, 2) {
		said[pair[0]] = pair[1]
	}
	n = Notice{
		ID: strconv.Itoa(r.number) + ":" + id, Time: time.UnixMilli(at), Event: said["event"],
		Channel: said["channel"], User: said["user"], Session: said["session"], Info: orNone(said["info"]),
	}
	n.Sessions, _ = strconv.Atoi(said["sessions"])
	if message := said["message"]; message != "" {
		m := DecodeEnvelope(n.Channel, message)
		n.Message = &m
	}
	return n, nil
}
