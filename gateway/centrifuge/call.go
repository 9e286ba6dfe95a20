package centrifuge

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/centrifuge/internal/wire"
)

// call executes the methods of one request from a backend.
type call struct {
	*gateway.Gateway
	by   *gateway.Principal
	log  *slog.Logger // may be nil
	away error        // why a part was not confirmed by the broker, or nil
}

// note returns the error of a method or a part of it. It logs err if it is internal, and keeps it
// in mind if it means that the broker has not confirmed the part.
func (c *call) note(method string, err error) error {
	switch {
	case errors.Is(err, broker.ErrUnavailable):
		c.away = err
	case err != nil && c.log != nil && gateway.ErrorOf(err).Code == gateway.Internal && !errors.As(err, new(*wire.Error)):
		c.log.Error("API request failed", "method", method, "error", err)
	}
	return err
}

func read[T any](ctx context.Context, body []byte, do func(context.Context, T) (any, error)) (any, error) {
	var args T
	if err := json.Unmarshal(body, &args); err != nil {
		return nil, failed(errBadRequest, "the body is not what the method takes: "+err.Error())
	}
	return do(ctx, args)
}

// mostCommands limits the commands of a client's frame and of a batch, and the channels of
// a broadcast.
const mostCommands = 1000

// publication holds the parameters that publish and broadcast share.
type publication struct {
	Data        json.RawMessage   `json:"data"`
	Base64      []byte            `json:"b64data"`
	SkipHistory bool              `json:"skip_history"`
	Tags        map[string]string `json:"tags"`
	Key         string            `json:"idempotency_key"`
	Version     uint64            `json:"version"`
}

func positionOf(p broker.Position) *wire.StreamPosition {
	return &wire.StreamPosition{Offset: p.Offset, Epoch: p.Epoch}
}

// check returns an error if p cannot be published.
func (p *publication) check() error {
	switch {
	case p.Version > 0:
		return failed(errNotAvailable, "version is not here")
	case p.Data == nil && p.Base64 == nil:
		return failed(errBadRequest, "data is missing")
	}
	return nil
}

// on returns p as a publish to a channel. The tag eventTag becomes the event name.
func (p *publication) on(channel string) gateway.Publish {
	c := gateway.Publish{Channel: channel, Payload: p.Data, Key: p.Key, Event: p.Tags[eventTag], Transient: p.SkipHistory}
	if p.Base64 != nil {
		c.Payload, c.Kind = p.Base64, broker.KindOf(p.Base64)
	}
	others := maps.Clone(p.Tags)
	delete(others, eventTag)
	if len(others) > 0 {
		c.Tags, _ = json.Marshal(others)
	}
	return c
}

func (c *call) publish(ctx context.Context, args struct {
	Channel string `json:"channel"`
	publication
}) (any, error) {
	if err := args.check(); err != nil {
		return nil, err
	}
	at, err := c.Publish(ctx, c.by, args.on(args.Channel))
	return positionOf(at), err
}

func (c *call) broadcast(ctx context.Context, args struct {
	Channels []string `json:"channels"`
	publication
}) (any, error) {
	if err := args.check(); err != nil {
		return nil, err
	}
	if len(args.Channels) > mostCommands {
		return nil, failed(errLimit, "too many channels: at most 1000 are allowed")
	}
	publishes := make([]gateway.Publish, len(args.Channels))
	for i, channel := range args.Channels {
		publishes[i] = args.on(channel)
	}
	responses := make([]map[string]any, len(publishes))
	for i, o := range c.PublishAll(ctx, c.by, "", publishes) {
		responses[i] = reply("result", positionOf(o.Position), c.note("broadcast", o.Err))
	}
	return map[string]any{"responses": responses}, nil
}

// whom selects the sessions of a user, or one of them, by the client's id or by its session.
type whom struct {
	User    string `json:"user"`
	Client  string `json:"client"`
	Session string `json:"session"`
}

// whose returns the selected sessions.
func (w whom) whose() (of gateway.Whose, err error) {
	id, _ := cutSession(w.Session)
	if w.Client != "" && id != "" && w.Client != id {
		return of, failed(errBadRequest, "client and session are not the same connection's")
	}
	return gateway.Whose{User: w.User, Session: cmp.Or(w.Client, id)}, nil
}

func (c *call) unsubscribe(ctx context.Context, args struct {
	whom
	Channel string `json:"channel"`
}) (any, error) {
	of, err := args.whose()
	if err == nil {
		_, err = c.Users.Unsubscribe(ctx, of, args.Channel)
	}
	return &wire.Empty{}, err
}

func (c *call) disconnect(ctx context.Context, args struct {
	whom
	Whitelist  []string `json:"whitelist"`
	Disconnect *struct {
		Code uint32 `json:"code"`
	} `json:"disconnect"`
}) (any, error) {
	of, err := args.whose()
	switch {
	case err != nil:
		return nil, err
	case len(args.Whitelist) > mostCommands:
		return nil, failed(errLimit, "the whitelist is too long: at most 1000 are allowed")
	case args.Disconnect != nil && args.Disconnect.Code != forceDisconnect:
		return nil, failed(errNotAvailable, "clients are disconnected with the code 3503 here: leave out disconnect")
	}
	of.Except = args.Whitelist
	_, err = c.Users.Disconnect(ctx, of)
	return &wire.Empty{}, err
}

// refresh changes when connections expire.
func (c *call) refresh(ctx context.Context, args struct {
	whom
	Expired  bool             `json:"expired"`
	ExpireAt int64            `json:"expire_at"`
	Info     *json.RawMessage `json:"info"`
}) (any, error) {
	of, err := args.whose()
	switch {
	case err != nil:
		return nil, err
	case isNoTime(args.ExpireAt):
		return nil, failed(errBadRequest, noTime)
	case args.Info != nil:
		return nil, failed(errNotAvailable, "what is known of a user comes from the token: leave out info")
	}
	end := timeOf(args.ExpireAt)
	if args.Expired {
		end = time.Now()
	}
	_, err = c.Users.Expire(ctx, of, end)
	return &wire.Empty{}, err
}

type onChannel struct {
	Channel string `json:"channel"`
}

func (c *call) presence(ctx context.Context, args onChannel) (any, error) {
	found, err := c.Members(ctx, c.by, args.Channel)
	if err != nil {
		return nil, orNotAvailable(err)
	}
	return presenceOf(found), nil
}

func (c *call) presenceStats(ctx context.Context, args onChannel) (any, error) {
	found, err := c.Members(ctx, c.by, args.Channel)
	if err != nil {
		return nil, orNotAvailable(err)
	}
	return statsOf(found), nil
}

func (c *call) history(ctx context.Context, args struct {
	Channel string               `json:"channel"`
	Limit   int                  `json:"limit"`
	Since   *wire.StreamPosition `json:"since"`
	Reverse bool                 `json:"reverse"`
}) (any, error) {
	if args.Reverse && args.Since != nil && args.Since.Offset == 0 {
		return nil, failed(errBadRequest, nothingBefore)
	}
	page, err := c.ReadHistory(ctx, c.by, historyFrom(args.Channel, args.Limit, args.Since, args.Reverse))
	switch {
	case err != nil:
		return nil, orNotAvailable(err)
	case page.Unknown:
		return nil, failed(errUnrecoverable, "unrecoverable position")
	case args.Limit == 0:
		page.Messages = nil
	}
	publications := make([]*wire.Publication, len(page.Messages))
	for i := range page.Messages {
		publications[i] = publicationOf(&page.Messages[i], JSON)
	}
	if args.Reverse {
		slices.Reverse(publications)
	}
	return map[string]any{"publications": publications, "offset": page.Top.Offset, "epoch": page.Top.Epoch}, nil
}

func (c *call) historyRemove(ctx context.Context, args onChannel) (any, error) {
	if err := c.ClearHistory(ctx, args.Channel); err != nil {
		return nil, orNotAvailable(err)
	}
	return &wire.Empty{}, nil
}

func (c *call) channels(ctx context.Context, args struct {
	Pattern string `json:"pattern"`
}) (any, error) {
	if args.Pattern == "" {
		args.Pattern = "*"
	}
	found, err := c.Nodes.Channels(ctx, args.Pattern)
	if err != nil {
		return nil, err
	}
	channels := make(map[string]map[string]int, len(found))
	for _, ch := range found {
		channels[ch.Channel] = map[string]int{"num_clients": ch.Sessions}
	}
	return map[string]any{"channels": channels}, nil
}

func (c *call) info(ctx context.Context) (any, error) {
	found, err := c.Nodes.List(ctx)
	if err != nil {
		return nil, err
	}
	nodes := make([]map[string]any, len(found))
	for i, n := range found {
		nodes[i] = map[string]any{
			"uid": n.Node, "name": n.Node, "version": n.Version, "num_clients": n.Sessions,
			"uptime": int(time.Since(time.UnixMilli(n.Since)).Seconds()),
		}
	}
	return map[string]any{"nodes": nodes}, nil
}

// isNoTime reports whether seconds since 1970 are not of the years up to 9999, such as
// milliseconds: other nodes could not be told.
func isNoTime(seconds int64) bool { return seconds < 0 || seconds > lastSecond }

var lastSecond = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()

const noTime = "expire_at is the seconds since 1970, up to the year 9999"

// timeOf converts seconds since 1970; 0 is the zero time.
func timeOf(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}
