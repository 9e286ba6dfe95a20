package pusher

import (
	"context"
	"net/http"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/transport"
)

// send passes a client's events to the session's home, and answers once the home has queued
// them.
func (x *XHR) send(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(bodyPatience + writePatience)) // a poll may have left another one
	if err := x.say(w, r); err != nil {
		transport.LeaveUnread(w, r)
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (x *XHR) say(w http.ResponseWriter, r *http.Request) error {
	_, settings := x.apps.byKey(r.PathValue("key"))
	if settings == nil {
		return notFound("there is no app with this key")
	}
	id := sessionOf(settings, r)
	err := x.sayTo(id, settings, w, r)
	switch {
	case is(err, gateway.NotFound):
		x.noteHome(id, "")
	case is(err, gateway.RateLimited), is(err, gateway.Unavailable):
		x.endUnheard(id, err)
	}
	return err
}

// endUnheard ends a session that a request for it has not reached: clients ignore the answers
// to what they send. It asks nobody where the session is.
func (x *XHR) endUnheard(id string, why error) {
	if home := x.knownHome(id); home != "" {
		_ = x.gateway.Nodes.Tell(context.Background(), home, topicSay, sayWord{Session: id, Lost: gateway.ErrorOf(why).Message}) // else the home is gone, too
	}
}

func (x *XHR) sayTo(id string, settings *App, w http.ResponseWriter, r *http.Request) error {
	if err := x.gateway.Users.Spend(r.RemoteAddr); err != nil {
		return err
	}
	home, err := x.homeOf(r, id)
	if err != nil {
		return err
	}
	payer := x.gateway.Budget.Payer(&gateway.Principal{}, r.RemoteAddr)
	said, release, err := transport.ReadBody(x.gateway.Budget, payer, w, r, settings.sentBytes(x.gateway))
	if err != nil {
		return err
	}
	defer release()
	return x.gateway.Nodes.Tell(r.Context(), home, topicSay, sayWord{Session: id, Number: numberOf(r), Said: said})
}

// sentBytes returns the maximum size of a body: an event that is escaped twice, and what
// surrounds it.
func (a *App) sentBytes(g *gateway.Gateway) int {
	return 4*max(a.eventBytes(), g.Limits().MessageBytes) + 4<<10
}
