package pusher

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"tidegate/broker/jsontext"
	"tidegate/gateway"
)

const (
	mostChannels = 100 // maximum number of channels of an event
	mostBatch    = 10  // maximum number of events in a request
)

// event is an event that a backend publishes, on Channels or on Channel.
type event struct {
	Name     string       `json:"name"`
	Data     *string      `json:"data"`
	Channels channelNames `json:"channels"`
	Channel  string       `json:"channel"`
	SocketID string       `json:"socket_id"` // a connection that does not receive it
	Info     string       `json:"info"`      // which facts of the channels to answer with
}

// batch holds the events of a request, channelNames the channels of an event. Decoding
// either stops at the first item beyond the maximum.
type (
	batch        []event
	channelNames []string
)

var (
	errManyEvents   = fail(gateway.BadRequest, "the batch has more than %d events", mostBatch)
	errManyChannels = fail(gateway.BadRequest, "an event is for 1 to %d channels", mostChannels)
)

// UnmarshalJSON implements json.Unmarshaler.
func (b *batch) UnmarshalJSON(text []byte) (err error) {
	*b, err = jsontext.DecodeList[event](text, mostBatch, errManyEvents)
	return err
}

// UnmarshalJSON implements json.Unmarshaler.
func (names *channelNames) UnmarshalJSON(text []byte) (err error) {
	*names, err = jsontext.DecodeList[string](text, mostChannels, errManyChannels)
	return err
}

func (r *request) publish() (any, error) {
	var e event
	if err := json.Unmarshal(r.body, &e); err != nil {
		return nil, malformedBody("the JSON object of an event, whose data is a string", err)
	}
	publishes, err := r.publishesOf(&e)
	if err != nil {
		return nil, err
	}
	if err := r.publishAll(publishes); err != nil {
		return nil, err
	}
	if e.Info == "" {
		return struct{}{}, nil
	}
	answer := struct {
		Channels map[string]*channelInfo `json:"channels"`
	}{make(map[string]*channelInfo)}
	infos, err := r.infosOf(e.names(), func(int) wants { return wantsOf(e.Info) })
	for i, name := range e.names() {
		answer.Channels[name] = infos[i]
	}
	return answer, err
}

func (r *request) publishBatch() (any, error) {
	var body struct {
		Batch batch `json:"batch"`
	}
	if err := json.Unmarshal(r.body, &body); err != nil {
		return nil, malformedBody(`{"batch":[…]} with events whose data is a string`, err)
	}
	var publishes []gateway.Publish
	for i := range body.Batch {
		of, err := r.publishesOf(&body.Batch[i])
		if err != nil {
			return nil, err
		}
		publishes = append(publishes, of...)
	}
	if err := r.publishAll(publishes); err != nil {
		return nil, err
	}
	return r.batchInfo(body.Batch)
}

func malformedBody(want string, err error) error {
	if errors.As(err, new(*gateway.Error)) {
		return err
	}
	return fail(gateway.BadRequest, "the body is not %s: %v", want, err)
}

// batchInfo returns the answer to a batch: {} if no event asked for info.
func (r *request) batchInfo(batch batch) (any, error) {
	answer := struct {
		Batch []*channelInfo `json:"batch,omitempty"`
	}{}
	if !slices.ContainsFunc(batch, func(e event) bool { return e.Info != "" }) {
		return answer, nil
	}
	names := make([]string, len(batch))
	for i := range batch {
		names[i] = batch[i].Channel
	}
	var err error
	answer.Batch, err = r.infosOf(names, func(i int) wants { return wantsOf(batch[i].Info) })
	return answer, err
}

func (e *event) names() []string {
	if e.Channel != "" {
		return append([]string{e.Channel}, e.Channels...)
	}
	return e.Channels
}

// publishesOf returns one publish for each channel of an event.
func (r *request) publishesOf(e *event) ([]gateway.Publish, error) {
	names := e.names()
	switch most := r.by.eventBytes(); {
	case e.Name == "" || len(e.Name) > mostEvent:
		return nil, fail(gateway.BadRequest, "the event's name must have 1 to %d characters", mostEvent)
	case isReserved(e.Name):
		return nil, fail(gateway.BadRequest, "the event's name begins with pusher: or pusher_internal:, which is the server's to say")
	case e.Data == nil:
		return nil, fail(gateway.BadRequest, "the event's data is missing")
	case len(*e.Data) > most:
		return nil, fail(gateway.TooLarge, "the event's data has %d bytes: at most %d are allowed", len(*e.Data), most)
	case len(names) == 0 || len(names) > mostChannels:
		return nil, errManyChannels
	case e.SocketID != "" && !isSocketID(e.SocketID):
		return nil, fail(gateway.BadRequest, "socket_id is not that of a connection")
	}
	payload, kind := payloadOf(*e.Data)
	publishes := make([]gateway.Publish, len(names))
	for i, name := range names {
		if user, isUser := strings.CutPrefix(name, userPrefix); !isUser || user == "" {
			if wrong := checkName(name); wrong != "" {
				return nil, fail(gateway.BadRequest, "%s", wrong)
			}
		}
		publishes[i] = gateway.Publish{Channel: r.app.channelOf(name), Payload: payload, Kind: kind, Event: e.Name, Except: e.SocketID}
	}
	return publishes, nil
}

// publishAll publishes all messages and returns nil once all are confirmed. If it returns an
// error, some messages may have been published.
func (r *request) publishAll(publishes []gateway.Publish) error {
	for _, done := range r.gateway.PublishAll(r.Context(), &r.app.publisher, r.RemoteAddr, publishes) {
		if done.Err != nil {
			return done.Err
		}
	}
	return nil
}
