package api

import (
	"time"
	"unicode/utf8"

	"tidegate/gateway"
	"tidegate/gateway/internal/payload"
)

type traceRequest struct {
	payload.Fields
	Event     string `json:"event"`
	Publisher actor  `json:"publisher"` // the API key if empty
	Recipient string `json:"recipient"`
	Wait      string `json:"wait"`
}

const traceWait = 2 * time.Second // if the request does not say

// trace publishes a message and returns what has become of it.
func (h *Handler) trace(r *request) (any, error) {
	body, err := r.readBody(h.largestMessage() + maxDenial)
	if err != nil {
		return nil, err
	}
	var asked traceRequest
	if err := decodeStrictly(body, &asked); err != nil {
		return nil, err
	}
	c := gateway.Publish{Channel: r.PathValue("channel"), Event: asked.Event}
	var ok bool
	if c.Payload, c.Kind, ok = asked.Payload(); !ok || !utf8.Valid(body) {
		return nil, fail(gateway.BadRequest, "give one of data, text and binary, in UTF-8")
	}
	q := gateway.TraceQuestion{User: asked.Recipient, Wait: traceWait}
	if asked.Wait != "" {
		if q.Wait, err = time.ParseDuration(asked.Wait); err != nil || q.Wait < 0 {
			return nil, fail(gateway.BadRequest, `wait is %.32q: want a time such as "5s"`, asked.Wait)
		}
	}
	p := *r.by
	if asked.Publisher != (actor{}) {
		if p, err = h.principalOf(r, asked.Publisher); err != nil {
			return nil, err
		}
	}
	t, err := h.gateway.Trace(r.Context(), &p, c, q)
	if err != nil {
		return nil, err
	}
	return traceOf(&t), nil
}

// trace is what has become of a message.
type trace struct {
	Node    string         `json:"node"` // the node that published it
	Time    int64          `json:"time"` // milliseconds since 1970
	Publish gateway.Ruling `json:"publish"`
	Error   *told          `json:"error,omitempty"`
	Took    float64        `json:"took"` // milliseconds until the broker confirmed it
	Cursor  string         `json:"cursor"`
	Nodes   []nodeTrace    `json:"nodes"`
}

type nodeTrace struct {
	Node      string                 `json:"node"`
	Listening int                    `json:"listening"`
	Heard     int                    `json:"heard"`
	Time      int64                  `json:"time,omitempty"` // of the node's clock
	Written   int                    `json:"written"`
	Waiting   int                    `json:"waiting"`
	Conflated int                    `json:"conflated"`
	Skipped   int                    `json:"skipped"`
	Unsaid    int                    `json:"unsaid"`
	Ended     int                    `json:"ended"`
	Sessions  []gateway.SessionTrace `json:"sessions"`
}

func traceOf(t *gateway.Trace) trace {
	told := trace{
		Node: t.Node, Time: t.Began.UnixMilli(), Publish: t.Publish, Cursor: t.Position.String(),
		Took: milliseconds(t.Took), Nodes: make([]nodeTrace, len(t.Nodes)),
	}
	if t.Error != nil {
		e := toldOf(t.Error)
		told.Error = &e
	}
	for i, n := range t.Nodes {
		told.Nodes[i] = nodeTraceOf(&n)
	}
	return told
}

func nodeTraceOf(n *gateway.NodeTrace) nodeTrace {
	told := nodeTrace{
		Node: n.Node, Listening: n.Listening, Heard: n.Heard, Written: n.Written, Waiting: n.Waiting,
		Conflated: n.Conflated, Skipped: n.Skipped, Unsaid: n.Unsaid, Ended: n.Ended, Sessions: listOf(n.Sessions),
	}
	if !n.First.IsZero() {
		told.Time = n.First.UnixMilli()
	}
	return told
}
