package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

func TestContain_SaysWhoseRequestItWas(t *testing.T) {
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	memory := broker.NewMemory()
	g, err := gateway.New(gateway.Config{Broker: memory, History: memory, Presence: memory, Rules: rules.Development(), Log: log})
	must(t, err)
	server := httptest.NewServer((&node{gateway: g, log: log}).contain(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") })))
	if answer, err := http.Get(server.URL + "/poll?access_token=secret"); err == nil {
		t.Errorf("it was answered with %d", answer.StatusCode)
	}
	server.Close() // waits until everything is logged
	if text := said.String(); !strings.Contains(text, "method=GET path=/poll remote=127.0.0.1:") || strings.Contains(text, "secret") {
		t.Errorf("the log says\n%s", text)
	}
}
