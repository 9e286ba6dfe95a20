package pusher

import (
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
		w.Header().Set("Connection", "close") // the body may not have been read
		refusalOf(err).answer(w)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (x *XHR) say(w http.ResponseWriter, r *http.Request) error {
	_, settings := x.apps.byKey(r.PathValue("key"))
	if settings == nil {
		return notFound("there is no app with this key")
	}
	if err := x.gateway.Users.Spend(r.RemoteAddr); err != nil {
		return err
	}
	id := sessionOf(settings, r)
	home, err := x.homeOf(r, id)
	if err != nil {
		return err
	}
	payer := x.gateway.Budget.Payer(&gateway.Principal{}, r.RemoteAddr)
	said, release, err := transport.ReadBody(x.gateway.Budget, payer, w, r, sentBytes(x.gateway))
	if err != nil {
		return err
	}
	defer release()
	err = x.gateway.Nodes.Tell(r.Context(), home, topicSay, sayWord{id, keyOf(r), numberOf(r), said})
	if is(err, gateway.NotFound) {
		x.noteHome(id, "")
	}
	return err
}

// sentBytes returns the maximum size of a body: a message that is escaped twice, and what
// surrounds it.
func sentBytes(g *gateway.Gateway) int { return 4*g.Limits().MessageBytes + 4<<10 }
