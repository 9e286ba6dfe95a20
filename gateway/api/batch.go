package api

import (
	"encoding/json"
	"errors"
	"io"

	"golang.org/x/text/encoding"
	"golang.org/x/text/transform"

	"tidegate/broker/jsontext"
	"tidegate/gateway"
	"tidegate/gateway/internal/payload"
)

const (
	maxBatch      = 1000    // publishes in one request
	maxBatchBytes = 8 << 20 // bytes, unless two messages of the largest size take more
)

// publishBatch answers 200 only if all messages were published. Otherwise the status is
// that of the first error, and the results say which messages were published. It does not
// read the body if the client may publish nowhere.
func (h *Handler) publishBatch(r *request) (any, error) {
	if err := h.gateway.MayPublish(r.by); err != nil {
		return nil, err
	}
	body, err := r.openBody(h.largestBatch())
	if err != nil {
		return nil, err
	}
	publishes, err := parseBatch(body)
	if err != nil {
		return nil, err
	}
	for i := range publishes {
		publishes[i].Trace = r.traceparent()
	}
	results := batchResults{Results: make([]batchResult, len(publishes))}
	var first error
	for i, done := range h.gateway.PublishAll(r.Context(), r.by, r.RemoteAddr, publishes) {
		if done.Err == nil {
			results.Results[i].Cursor = new(done.Position.String())
			continue
		}
		results.Results[i].Error = gateway.ErrorOf(done.Err)
		if first == nil {
			first, results.Error = done.Err, results.Results[i].Error
		}
	}
	return results, first
}

func (h *Handler) largestBatch() int { return max(maxBatchBytes, 2*h.gateway.Limits().MessageBytes) }

// parseBatch parses [{"channels":["a"],"data":1}, …]. It returns one publish for each item and
// channel, in order. It stops reading at the first item that is invalid or exceeds the limit.
func parseBatch(body io.Reader) ([]gateway.Publish, error) {
	decoder := json.NewDecoder(transform.NewReader(body, encoding.UTF8Validator))
	if err := expect(decoder, json.Delim('[')); err != nil {
		return nil, err
	}
	var publishes []gateway.Publish
	for i := 1; decoder.More(); i++ {
		var item batchItem
		if err := decoder.Decode(&item); err != nil {
			return nil, batchError(err)
		}
		of, err := item.publishes(i, maxBatch-len(publishes))
		if err != nil {
			return nil, err
		}
		publishes = append(publishes, of...)
	}
	if err := expect(decoder, json.Delim(']')); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, batchError(err)
	}
	return publishes, nil
}

func expect(decoder *json.Decoder, want json.Delim) error {
	token, err := decoder.Token()
	if err == nil && token == want {
		return nil
	}
	return batchError(err)
}

// batchError converts an error of reading a batch to one for the client.
func batchError(err error) error {
	if own, ok := errors.AsType[*gateway.Error](err); ok {
		return own
	}
	if errors.Is(err, encoding.ErrInvalidUTF8) {
		return fail(gateway.BadRequest, "the body is not UTF-8")
	}
	return fail(gateway.BadRequest, `the body is not a list of messages: want [{"channels":["a"],"data":1}]`)
}

var errBatchTooLong = fail(gateway.TooLarge, "the batch has more than %d publishes: split it", maxBatch)

// publishes returns one publish for each channel of the item, which is the n-th of its
// batch. There may be at most room of them.
func (item *batchItem) publishes(n, room int) ([]gateway.Publish, error) {
	data, kind, ok := item.Payload()
	switch {
	case !ok:
		return nil, fail(gateway.BadRequest, "message %d: give one of data, text and binary", n)
	case len(item.Channels) == 0:
		return nil, fail(gateway.BadRequest, "message %d: channels is missing", n)
	case len(item.Channels) > room:
		return nil, errBatchTooLong
	}
	publishes := make([]gateway.Publish, len(item.Channels))
	for i, channel := range item.Channels {
		publishes[i] = gateway.Publish{Channel: channel, Payload: data, Kind: kind, Event: item.Event, Tags: jsonOrNil(item.Tags), Key: item.Key, Except: item.Except, Transient: item.Transient}
	}
	return publishes, nil
}

// channelNames are the channels of a batch item. UnmarshalJSON accepts at most maxBatch.
type channelNames []string

// UnmarshalJSON implements json.Unmarshaler.
func (names *channelNames) UnmarshalJSON(list []byte) (err error) {
	*names, err = jsontext.DecodeList[string](list, maxBatch, errBatchTooLong)
	return err
}

// batchItem is one message for one or more channels, with exactly one payload.
type batchItem struct {
	Channels  channelNames    `json:"channels"`
	Event     string          `json:"event"`
	Tags      json.RawMessage `json:"tags"`
	Key       string          `json:"key"`
	Except    string          `json:"except"`
	Transient bool            `json:"transient"`
	payload.Fields
}

// batchResults has one result for each item and channel, in order. Error is the first
// error among them.
type batchResults struct {
	Error   *gateway.Error `json:"error,omitempty"`
	Results []batchResult  `json:"results"`
}

type batchResult struct {
	Cursor *string        `json:"cursor,omitempty"`
	Error  *gateway.Error `json:"error,omitempty"`
}
