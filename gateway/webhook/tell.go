package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/internal/payload"
)

// notices is the body of a request that tells the backend what happened:
//
//	{"events":[{"id":"…","event":"member_left","time":"…","node":"…","channel":"…","user":"…","sessions":3}, …]}
//
//	event           fields in addition to event, id, time and node
//	disconnect      session, user, remote, code, reason, text
//	channel_…       channel, sessions
//	member_…        channel, user, session, info, sessions
//	sessions_…      channel, sessions
//	message_…       channel, user, session, name, data (or text, or binary)
//	nothing_recent  channel, user, session
//
// The backend answers 2xx once it has taken all of them. After any other answer, or none in
// time, they are sent again with the same ids: each arrives at least once.
type notices struct {
	Events []notice `json:"events"`
}

type notice struct {
	ID             string            `json:"id,omitempty"`
	Event          gateway.HookEvent `json:"event"`
	Time           time.Time         `json:"time"`
	Node           string            `json:"node,omitempty"`
	Channel        string            `json:"channel,omitempty"`
	User           string            `json:"user,omitempty"`
	Session        string            `json:"session,omitempty"`
	Info           json.RawMessage   `json:"info,omitempty"`
	Sessions       *int              `json:"sessions,omitempty"` // on the channel after the event
	Remote         string            `json:"remote,omitempty"`
	Code           int               `json:"code,omitempty"`   // the close code
	Reason         string            `json:"reason,omitempty"` // the reason's label
	Name           string            `json:"name,omitempty"`   // event name of the message
	payload.Fields                   // of the message, or the text of the reason
}

// Tell sends notices in one request. It returns nil once the backend has taken them.
func (w *Webhook) Tell(ctx context.Context, list []gateway.Notice) error {
	body := notices{Events: make([]notice, len(list))}
	for i := range list {
		body.Events[i] = noticeOf(&list[i])
	}
	encoded, err := json.Marshal(body)
	if err == nil {
		var status int
		if status, _, err = w.post(ctx, encoded, true); err == nil && (status < http.StatusOK || status >= http.StatusMultipleChoices) {
			err = fmt.Errorf("it answered with the status %d", status)
		}
	}
	if err != nil && hasGone(ctx) {
		return err
	}
	w.noteAnswered(err)
	if err != nil {
		w.config.Observe("notices", "away")
		return err
	}
	w.config.Observe("notices", "taken")
	return nil
}

func noticeOf(n *gateway.Notice) notice {
	told := notice{
		ID: n.ID, Event: n.Event, Time: n.Time.UTC(), Node: n.Node, Channel: n.Channel,
		User: n.User, Session: n.Session, Info: n.Info, Remote: n.Remote,
		Code: n.Reason.Code, Reason: n.Reason.Label,
	}
	switch {
	case n.Event == gateway.OnDisconnect:
		told.Text = &n.Reason.Text
	case n.Message != nil:
		told.Name, told.Fields = n.Message.Event, payload.FieldsOf(n.Message.Payload, n.Message.Kind)
	case n.Event != gateway.OnNothingRecent:
		told.Sessions = &n.Sessions
	}
	return told
}
