package main

import (
	"net/http"

	"tidegate/gateway/centrifuge"
	"tidegate/gateway/transport"
)

// routeCentrifuge adds the client endpoints where the SDKs of that family expect them.
func (n *node) routeCentrifuge(mux *http.ServeMux, cors transport.CORS) {
	path := n.config.Centrifuge.Path
	if path == "" {
		return
	}
	mux.Handle(path+"/websocket", n.webSocket.Handler(centrifuge.Greet, centrifuge.SubprotocolProtobuf, centrifuge.SubprotocolJSON))
	mux.Handle(path+"/uni_websocket", n.webSocket.Handler(centrifuge.GreetOneWay))
	stream := func(name string, framing centrifuge.Framing, oneWay bool) {
		mux.Handle(path+"/"+name, cors.Handler(centrifuge.NewStream(n.gateway, framing, oneWay)))
	}
	stream("sse", centrifuge.Events, false)
	stream("http_stream", centrifuge.Lines, false)
	stream("uni_sse", centrifuge.Events, true)
	stream("uni_http_stream", centrifuge.Lines, true)
	if path := n.config.Centrifuge.EmulationPath; path != "" {
		mux.Handle(path, cors.Handler(centrifuge.NewEmulation(n.gateway)))
	}
}

// routeCentrifugeAPI adds the API for backends. Pages of other origins cannot call it.
func (n *node) routeCentrifugeAPI(mux *http.ServeMux) {
	path := n.config.Centrifuge.APIPath
	if path == "" {
		return
	}
	server := transport.SameSite(&centrifuge.API{Gateway: n.gateway, Anonymous: n.config.Anonymous(), Log: n.log})
	mux.Handle("POST "+path, server)
	for _, method := range centrifuge.Methods() {
		mux.Handle("POST "+path+"/"+method, server)
	}
}
