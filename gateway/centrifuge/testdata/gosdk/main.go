// An application with the official Go client. It is given the addresses of two nodes and exits
// with 0 if everything worked.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/centrifugal/centrifuge-go"
)

const patience = 30 * time.Second

func main() {
	one, two := address(os.Args[1]), address(os.Args[2])
	run("json", one, two, centrifuge.NewJsonClient)
	run("protobuf", one, two, centrifuge.NewProtobufClient)
	renew(one)
}

func address(url string) string {
	return strings.Replace(url, "http", "ws", 1) + "/connection/websocket"
}

func run(format, one, two string, newClient func(string, centrifuge.Config) *centrifuge.Client) {
	channel := "go-" + format
	alice := connect(newClient(one, centrifuge.Config{Token: "user alice"}))
	bob := connect(newClient(two, centrifuge.Config{Token: "user bob"}))
	defer alice.Close()
	defer bob.Close()

	sub, err := alice.NewSubscription(channel)
	check(err)
	heard, subscribed, joined := make(chan string, 100), make(chan centrifuge.SubscribedEvent, 10), make(chan string, 10)
	sub.OnPublication(func(e centrifuge.PublicationEvent) { heard <- string(e.Data) })
	sub.OnSubscribed(func(e centrifuge.SubscribedEvent) { subscribed <- e })
	sub.OnJoin(func(e centrifuge.JoinEvent) { joined <- e.User })
	check(sub.Subscribe())
	receive("the subscription", subscribed)

	say := func(from, to int) {
		for i := from; i <= to; i++ {
			_, err := bob.Publish(ctx(), channel, fmt.Appendf(nil, "%d", i))
			check(err)
		}
	}
	say(1, 3)
	want(heard, 1, 3)
	check(alice.Disconnect())
	say(4, 20)
	check(alice.Connect())
	if again := receive("the second subscription", subscribed); !again.WasRecovering || !again.Recovered {
		log.Fatalf("%s: it was not recovered: %+v", format, again)
	}
	want(heard, 4, 20)

	page, err := alice.History(ctx(), channel, centrifuge.WithHistoryLimit(2), centrifuge.WithHistoryReverse(true))
	check(err)
	if len(page.Publications) != 2 || string(page.Publications[0].Data) != "20" || page.Publications[0].Info.User != "bob" {
		log.Fatalf("%s: the history is %+v", format, page)
	}
	other, err := bob.NewSubscription(channel)
	check(err)
	check(other.Subscribe())
	for receive("bob's join", joined) != "bob" {
	}
	stats, err := sub.PresenceStats(ctx())
	check(err)
	present, err := sub.Presence(ctx())
	check(err)
	if stats.NumClients != 2 || stats.NumUsers != 2 || len(present.Clients) != 2 {
		log.Fatalf("%s: there are %+v, %+v", format, stats, present)
	}
	if _, err := alice.Publish(ctx(), "closed:door", []byte("1")); err == nil {
		log.Fatalf("%s: a publish where nobody may was confirmed", format)
	}
}

// renew is given an expired token once for the connection, and once for a subscription, when it
// renews them.
func renew(address string) {
	asked := make(map[string]int)
	token := func(of, valid string) (string, error) {
		if asked[of]++; asked[of] == 2 {
			return "old", nil
		}
		return valid, nil
	}
	c := centrifuge.NewJsonClient(address, centrifuge.Config{GetToken: func(centrifuge.ConnectionTokenEvent) (string, error) {
		return token("connection", "brief hugo")
	}})
	defer c.Close()
	c.OnError(func(centrifuge.ErrorEvent) {})
	c.OnDisconnected(func(e centrifuge.DisconnectedEvent) { log.Fatalf("the client is disconnected: %+v", e) })
	connected := make(chan struct{}, 10)
	c.OnConnected(func(centrifuge.ConnectedEvent) { connected <- struct{}{} })
	other := connect(centrifuge.NewJsonClient(address, centrifuge.Config{Token: "user hugo"}))
	defer other.Close()
	sub, err := other.NewSubscription("secret:go", centrifuge.SubscriptionConfig{GetToken: func(centrifuge.SubscriptionTokenEvent) (string, error) {
		return token("subscription", "channel secret:go hugo guest")
	}})
	check(err)
	subscribed := make(chan struct{}, 10)
	sub.OnSubscribed(func(centrifuge.SubscribedEvent) { subscribed <- struct{}{} })
	sub.OnUnsubscribed(func(e centrifuge.UnsubscribedEvent) { log.Fatalf("the client is unsubscribed: %+v", e) })
	check(c.Connect())
	check(sub.Subscribe())
	for range 2 {
		receive("the connection", connected)
		receive("the subscription", subscribed)
	}
	c.OnDisconnected(nil)
	sub.OnUnsubscribed(nil)
}

func connect(c *centrifuge.Client) *centrifuge.Client {
	connected := make(chan struct{}, 10)
	c.OnConnected(func(centrifuge.ConnectedEvent) { connected <- struct{}{} })
	check(c.Connect())
	receive("the connection", connected)
	return c
}

func want(heard <-chan string, from, to int) {
	for i := from; i <= to; i++ {
		if got := receive("a publication", heard); got != fmt.Sprint(i) {
			log.Fatalf("heard %s, want %d", got, i)
		}
	}
}

func receive[T any](what string, c <-chan T) T {
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		log.Fatalf("waited in vain for %s", what)
		panic("not reached")
	}
}

func ctx() context.Context { return context.Background() }

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
