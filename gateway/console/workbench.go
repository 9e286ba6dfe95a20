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

// Workbench serves the section Tools of the page: it makes tokens and evaluates rules. It
// trusts everybody who asks, so it is for development only.
//
//	GET  /dev        204 if there is a workbench
//	POST /dev/token  a Client, and "ttl" in seconds -> {"token":"…"}
//	POST /dev/rules  {"rules":"channels: …","channel":"…","client":{a Client}} -> a gateway.Explanation
//
// Errors are those of the HTTP API.
type Workbench struct {
	// Sign returns a token that this gateway accepts.
	Sign func(client Client, ttl time.Duration) (string, error)
	// Rules parses the rules of a YAML configuration. Its errors are sent unchanged.
	Rules func(document []byte) (rules.List, error)
}

// Client is the identity and the permissions of a client, as a token states them.
type Client struct {
	User      string          `json:"user"`
	Info      json.RawMessage `json:"info"`
	Subscribe []string        `json:"subscribe"`
	Publish   []string        `json:"publish"`
	Channels  []string        `json:"channels"`
}

const largestQuestion = 256 << 10 // bytes

// Handler returns a handler for the paths under /dev. It refuses pages of other sites.
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

// judge evaluates the rules on a temporary gateway.
func (w *Workbench) judge(q rulesQuestion) (gateway.Explanation, error) {
	list, err := w.Rules([]byte(q.Rules))
	if err != nil {
		return gateway.Explanation{}, badRequest("%v", err)
	}
	memory := broker.NewMemory()
	g, err := gateway.New(gateway.Config{Broker: memory, History: memory, Presence: memory, Rules: list})
	if err != nil {
		return gateway.Explanation{}, badRequest("%v", err)
	}
	return g.Explain(&gateway.Principal{User: q.Client.User, Subscribe: q.Client.Subscribe, Publish: q.Client.Publish}, q.Channel)
}

// answer returns a handler that decodes a question from JSON and encodes the answer to it.
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
