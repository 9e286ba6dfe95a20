package client_test

import (
	"context"
	"fmt"
	"log"

	"tidegate/gateway/client"
)

// Publish a message on a channel and print what arrives.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c := client.New(client.Config{URL: "ws://127.0.0.1:8080/ws"})
	go func() {
		if err := c.Run(ctx); err != nil {
			log.Fatal(err)
		}
	}()

	lobby, err := c.Subscribe(ctx, "chat:lobby", client.SubscribeOptions{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := c.Publish(ctx, client.Message{Channel: "chat:lobby", Payload: []byte(`{"text":"hello"}`)}); err != nil {
		log.Fatal(err)
	}
	for {
		event, err := lobby.Receive(ctx)
		if err != nil {
			log.Fatal(err)
		}
		switch e := event.(type) {
		case client.Message:
			fmt.Printf("%s: %s\n", e.User, e.Payload)
		case client.Gap:
			fmt.Println("something may be missing here")
		}
	}
}
