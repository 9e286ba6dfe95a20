package broker_test

import (
	"context"
	"fmt"

	"tidegate/broker"
)

type printer struct{ up chan struct{} }

func (p printer) Receive(m broker.Message)         { fmt.Printf("%s: %s\n", m.Channel, m.Payload) }
func (p printer) Gap(channels []string, err error) { fmt.Println("gap on", channels, err) }
func (p printer) Link(err error)                   { close(p.up) }
func (p printer) Rest()                            {}

func ExampleBroker() {
	ctx, cancel := context.WithCancel(context.Background())
	b := broker.NewMemory()
	p := printer{up: make(chan struct{})}
	done := make(chan error)
	go func() { done <- b.Run(ctx, p) }()
	<-p.up

	if err := b.Subscribe(ctx, "chat:lobby"); err != nil {
		fmt.Println(err)
	}
	position, err := broker.Publish(ctx, b,
		broker.Message{Channel: "chat:lobby", Payload: []byte("hi"), Kind: broker.Text},
		broker.PublishOptions{HistorySize: 10})
	fmt.Println("offset", position.Offset, err)

	cancel()
	<-done
	// Output:
	// chat:lobby: hi
	// offset 1 <nil>
}
