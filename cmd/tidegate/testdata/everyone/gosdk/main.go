// The official Go client as a witness, like witnesses.mjs. It runs those of WITNESSES that have
// its kind and ignores the others.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/centrifugal/centrifuge-go"
)

type witness struct {
	Kind    string `json:"kind"`
	URL     string `json:"url"`
	Channel string `json:"channel"`
}

var kinds = map[string]func(string, centrifuge.Config) *centrifuge.Client{
	"centrifuge go":          centrifuge.NewJsonClient,
	"centrifuge go protobuf": centrifuge.NewProtobufClient,
}

func main() {
	var witnesses []witness
	check(json.Unmarshal([]byte(os.Getenv("WITNESSES")), &witnesses))
	lines := make(chan string)
	for i, w := range witnesses {
		if newClient := kinds[w.Kind]; newClient != nil {
			w.listen(newClient, func(text string) { lines <- fmt.Sprint(i, " ", text) })
		}
	}
	for line := range lines {
		fmt.Println(line)
	}
}

// listen reports each message, each possible gap, and that it is subscribed. On a channel with
// history the client recovers on its own; otherwise it misses what comes while it is away.
func (w witness) listen(newClient func(string, centrifuge.Config) *centrifuge.Client, say func(string)) {
	client := newClient(strings.Replace(w.URL, "http", "ws", 1)+"/connection/websocket", centrifuge.Config{
		MinReconnectDelay: 50 * time.Millisecond, MaxReconnectDelay: 500 * time.Millisecond,
	})
	channel, err := client.NewSubscription(w.Channel, centrifuge.SubscriptionConfig{
		MinResubscribeDelay: 50 * time.Millisecond, MaxResubscribeDelay: 500 * time.Millisecond,
	})
	check(err)
	begun := false
	channel.OnSubscribed(func(e centrifuge.SubscribedEvent) {
		switch {
		case !begun || e.Recovered:
		case e.WasRecovering:
			say("!gap")
		default:
			say("!connection lost")
		}
		begun = true
		say("ready")
	})
	channel.OnPublication(func(e centrifuge.PublicationEvent) { say(string(e.Data)) })
	check(channel.Subscribe())
	check(client.Connect())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
