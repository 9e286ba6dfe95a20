package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
	"tidegate/gateway/transport"
)

// Workbench is what the page's section Tools asks for: tokens, and what rules come
// to. It trusts whoever asks, so it is for development alone.
//
//	GET  /dev        204: there is a workbench
//	POST /dev/token  a Client, and "ttl" in seconds -> {"token":"…"}
//	POST /dev/rules  {"rules":"channels: …","channel":"…","client":{a Client}} -> a Judgement
//
// Errors are those of the HTTP API.
type Workbench struct {
	// Sign makes a token that this gateway accepts.
	Sign func(client Client, ttl time.Duration) (string, error)
	// Rules reads those of a configuration, YAML. Its error is told as it is.
	Rules func(document []byte) (rules.List, error)
}

// Client is who a token says that somebody is.
type Client struct {
	User      string          `json:"user"`
	Info      json.RawMessage `json:"info"`
	Subscribe []string        `json:"subscribe"`
	Publish   []string        `json:"publish"`
	Channels  []string        `json:"channels"`
}

// Judgement is what rules come to for one client on one channel.
type Judgement struct {
	Rule      int     `json:"rule"`  // as the configuration counts them, from 0; -1: none matches
	Match     string  `json:"match"` // its pattern
	Subscribe Verdict `json:"subscribe"`
	Publish   Verdict `json:"publish"`
	Presence  Verdict `json:"presence"`
	History   Verdict `json:"history"`
}

// Verdict says whether something is allowed, what a client is told if not, and why.
type Verdict struct {
	Allowed bool         `json:"allowed"`
	Code    gateway.Code `json:"code,omitempty"`
	Why     string       `json:"why"`
}

const largestQuestion = 256 << 10 // bytes

// Handler serves what is below /dev. Pages of other sites are refused.
func (w *Workbench) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /dev", func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("POST /dev/token", answer(w.token))
	mux.HandleFunc("POST /dev/rules", answer(w.judge))
	return transport.SameSite(mux)
}

type tokenQuestion struct {
	Client
	TTL int64 `json:"ttl"` // seconds
}

type tokenAnswer struct {
	Token string `json:"token"`
}

func (w *Workbench) token(q tokenQuestion) (tokenAnswer, error) {
	if q.TTL < 0 || q.TTL > int64(100*365*24*time.Hour/time.Second) {
		return tokenAnswer{}, badRequest("ttl is %d: want seconds from now", q.TTL)
	}
	token, err := w.Sign(q.Client, time.Duration(q.TTL)*time.Second)
	if err != nil {
		return tokenAnswer{}, badRequest("%v", err)
	}
	return tokenAnswer{token}, nil
}

type rulesQuestion struct {
	Rules   string `json:"rules"`
	Channel string `json:"channel"`
	Client  Client `json:"client"`
}

// judge asks a gateway that has these rules, and nothing else to do.
func (w *Workbench) judge(q rulesQuestion) (Judgement, error) {
	list, err := w.Rules([]byte(q.Rules))
	if err != nil {
		return Judgement{}, badRequest("%v", err)
	}
	memory := broker.NewMemory()
	g, err := gateway.New(gateway.Config{Broker: memory, History: memory, Presence: memory, Rules: list})
	if err != nil {
		return Judgement{}, badRequest("%v", err)
	}
	e, err := g.Explain(&gateway.Principal{User: q.Client.User, Subscribe: q.Client.Subscribe, Publish: q.Client.Publish}, q.Channel)
	return Judgement{e.Rule, e.Match, Verdict(e.Subscribe), Verdict(e.Publish), Verdict(e.Presence), Verdict(e.History)}, err
}

// answer serves a question in JSON.
func answer[Question, Answer any](ask func(Question) (Answer, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var question Question
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, largestQuestion)).Decode(&question)
		if err != nil {
			transport.Refuse(w, badRequest("the question is not understood: %v", err))
			return
		}
		said, err := ask(question)
		if err != nil {
			transport.Refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		json.NewEncoder(w).Encode(said)
	}
}

func badRequest(format string, args ...any) error {
	return &gateway.Error{Code: gateway.BadRequest, Message: fmt.Sprintf(format, args...)}
}
