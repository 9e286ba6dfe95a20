package doctor

import (
	"context"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// view is what a node sees of a probe.
type view struct {
	Node, Version, Prefix, Host, Address, Forwarded string
	Secure                                          bool
	Time                                            int64

	from, to netip.Addr    // addresses of the connection, on this side
	ahead    time.Duration // how far the node's clock is ahead of this machine's
	doubt    time.Duration // uncertainty of ahead
}

const (
	leastProbes = 8
	mostProbes  = 64
	tokenLeeway = 5 * time.Second // default of auth.jwt.leeway
	unlikely    = "192.0.2.1"     // reserved by RFC 5737: no client has it
)

// lookAtNodes sends probes until it has met all nodes.
func (e *examination) lookAtNodes(ctx context.Context) {
	first, answer, err := e.probe(ctx, nil)
	switch {
	case err != nil:
		e.find(cureAddress, "A probe got no answer: %v.", err)
		return
	case first == nil && answer.refuses() && e.Key == "":
		e.pass("nodes, clocks, request headers, retries: these need an API key, %s", "TIDEGATE_API_KEY")
		return
	case first == nil && answer.refuses():
		e.find(inConfiguration("auth: {api_keys: [{name: doctor, key_file: doctor.key}]}"), "The API key is rejected: %s.", answer)
		return
	case first == nil:
		e.pass("nodes, clocks, request headers: a probe got %s", answer)
		return
	}
	known := e.askWhoIsThere(ctx)
	met := map[string]*view{first.Node: first}
	for i := range min(max(leastProbes, 3*len(known)), mostProbes) {
		e.Progress.Say("probe %d: %d of %d nodes have answered", i+2, len(met), max(len(known), len(met)))
		v, answer, err := e.probe(ctx, nil)
		if err != nil || v == nil {
			e.pass("one of the probes: %s", whyNot(answer, err))
			continue
		}
		if before := met[v.Node]; before == nil || v.doubt < before.doubt {
			met[v.Node] = v
		}
	}
	views := slices.SortedFunc(maps.Values(met), func(a, b *view) int { return strings.Compare(a.Node, b.Node) })
	e.compare(views, known)
	e.judgeClocks(views)
	e.judgeHeaders(first)
	e.judgeAddress(ctx, first)
}

// probe asks a node what it sees. The view is nil if the answer does not come from a node.
func (e *examination) probe(ctx context.Context, header http.Header) (*view, *answer, error) {
	v := new(view)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
		v.from, v.to = addressOf(c.Conn.LocalAddr()), addressOf(c.Conn.RemoteAddr())
	}})
	sent := time.Now()
	answer, err := e.ask(ctx, http.MethodGet, "/api/probe", header, nil)
	took := time.Since(sent)
	if err != nil || answer.status != http.StatusOK || json.Unmarshal(answer.body, v) != nil || v.Node == "" {
		return nil, answer, err
	}
	v.doubt = took/2 + time.Millisecond
	v.ahead = time.UnixMilli(v.Time).Sub(sent.Add(took / 2))
	return v, answer, nil
}

func addressOf(a net.Addr) netip.Addr {
	with, _ := netip.ParseAddrPort(a.String()) // zero if it is not an IP address
	return with.Addr().Unmap()
}

// askWhoIsThere returns the nodes that one of them lists, including itself.
func (e *examination) askWhoIsThere(ctx context.Context) (names []string) {
	var said struct{ Nodes []struct{ Node string } }
	answer, err := e.ask(ctx, http.MethodGet, "/api/nodes", nil, nil)
	if err != nil || answer.status != http.StatusOK || json.Unmarshal(answer.body, &said) != nil {
		e.pass("list of nodes: %s", whyNot(answer, err))
		return nil
	}
	for _, n := range said.Nodes {
		names = append(names, n.Node)
	}
	return names
}

// compare reports nodes that differ from the others.
func (e *examination) compare(views []*view, known []string) {
	isKnown := func(v *view) bool { return slices.Contains(known, v.Node) }
	at := slices.IndexFunc(views, isKnown)
	for _, v := range views {
		switch {
		case at < 0 || isKnown(v):
		case v.Prefix != views[at].Prefix:
			e.find(inConfiguration("redis: {prefix: ...}, the same on all nodes"),
				"Nodes %s and %s do not receive each other's messages: redis.prefix is %q on one and %q on the other.",
				views[at].Node, v.Node, views[at].Prefix, v.Prefix)
		default:
			e.find(inConfiguration("redis: {url: ...}, the same on all nodes"),
				"Nodes %s and %s do not know each other: they use different Redis servers, or one has lost its connection.", views[at].Node, v.Node)
		}
	}
	for _, v := range views[1:] {
		if v.Version != views[0].Version {
			e.find([]Cure{{"the deployment", "the same image or package on all nodes"}},
				"Node %s has version %s, and node %s has %s.", views[0].Node, views[0].Version, v.Node, v.Version)
			break
		}
	}
}

func (e *examination) judgeClocks(views []*view) {
	for _, v := range views {
		way := "ahead of"
		if v.ahead < 0 {
			way = "behind"
		}
		if off := v.ahead.Abs(); off-v.doubt > tokenLeeway {
			e.find(cureClock, "The clock of node %s is %s %s this machine's, more than auth.jwt.leeway (%s): tokens expire at the wrong time or are not valid yet.",
				v.Node, off.Round(time.Second), way, tokenLeeway)
		}
	}
}

func (e *examination) judgeHeaders(v *view) {
	if !strings.EqualFold(v.Host, e.URL.Host) {
		e.find(cureHost, "The Host header is not passed on: nodes see %q instead of %q and reject pages of the same origin.", v.Host, e.URL.Host)
	}
	seen := "http"
	if v.Secure {
		seen = "https"
	}
	if seen != e.URL.Scheme {
		e.find(cureScheme, "Nodes treat %s requests as %s: X-Forwarded-Proto is wrong or missing.", e.URL.Scheme, seen)
	}
}

// judgeAddress checks which address the nodes use for a client's limits. Addresses may be
// translated on the way, so it reports only what must be wrong.
func (e *examination) judgeAddress(ctx context.Context, v *view) {
	seen, err := netip.ParseAddr(v.Address)
	if err != nil || seen == v.from && v.Forwarded == "" {
		return
	}
	claim, _, err := e.probe(ctx, http.Header{"X-Forwarded-For": {unlikely}})
	if err == nil && claim != nil && claim.Address == unlikely {
		e.find(cureForwarded, "Clients can forge their address: the balancer passes on their X-Forwarded-For.")
		return
	}
	if seen == v.from {
		return
	}
	switch hops := strings.Split(strings.ReplaceAll(v.Forwarded, " ", ""), ","); {
	case v.Forwarded != "" && (!slices.Contains(hops, v.Address) || slices.Contains(hops, v.from.String())):
		e.find(inConfiguration("trusted_proxies: ["+v.Address+"]"),
			"Nodes do not trust the X-Forwarded-For of the balancer at %s: all clients share the limits of one.", v.Address)
	case v.Forwarded == "" && (seen.IsPrivate() || seen.IsLoopback() || seen.IsLinkLocalUnicast() || seen == v.to):
		e.find(cureForwarded, "The client's address is not passed on: nodes see %s instead, and all clients share the limits of one.", v.Address)
	}
}
