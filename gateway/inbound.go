package gateway

import (
	"time"

	"tidegate/gateway/internal/rates"
)

const (
	backendsShare   = 8 // of the room, one part in so many is for backends alone
	inboundLogPause = int64(time.Minute)
)

// InboundForClients returns what may be held for clients, not for backends; 0: no limit.
func (l *Limits) InboundForClients() int { return l.InboundBytes - l.InboundBytes/backendsShare }

// PayerOf returns who pays for what is held for p, coming from an address, see TakeInbound.
func (g *Gateway) PayerOf(p *Principal, remote string) *rates.Bucket {
	if p.Backend() {
		return g.inbound.backends
	}
	address := g.rates.Address(NetworkOf(remote))
	g.rates.Release(address) // the table keeps one that pays
	return address
}

// Payer is Gateway.PayerOf of the session, as whom it acts now.
func (s *Session) Payer() *rates.Bucket {
	if s.who().Backend() {
		return s.gateway.inbound.backends
	}
	return s.address
}

// TakeInbound makes room for so many bytes that are held for the payer until GiveInbound
// with the same payer: all clients at one address, or all backends; nil is a client whose
// address is not known. Clients leave a part of the node's room to backends. Without room
// the error is an *Error.
func (g *Gateway) TakeInbound(payer *rates.Bucket, bytes int) error {
	if !payer.Hold(bytes) {
		return g.refuseInbound(failf(RateLimited, "as much is held for your address as limits.inbound_bytes_per_ip allows: try again later"))
	}
	b, most := &g.inbound, g.limits.InboundBytes
	if payer != b.backends {
		most = g.limits.InboundForClients()
	}
	if held := b.held.Add(int64(bytes)); most > 0 && held > int64(most) {
		g.GiveInbound(payer, bytes)
		return g.refuseInbound(failf(Unavailable, "the node holds as much for its clients as limits.inbound_bytes allows: try again"))
	}
	return nil
}

// GiveInbound gives back what TakeInbound took.
func (g *Gateway) GiveInbound(payer *rates.Bucket, bytes int) {
	payer.LetGo(bytes)
	g.inbound.held.Add(-int64(bytes))
}

// refuseInbound returns err, and logs it now and then.
func (g *Gateway) refuseInbound(err *Error) error {
	now, last := time.Now().UnixNano(), g.inbound.logged.Load()
	if now-last > inboundLogPause && g.inbound.logged.CompareAndSwap(last, now) {
		g.log.Warn("there is no room for what a client has sent or asked for", "error", err.Message, "held", g.inbound.held.Load())
	}
	return err
}
