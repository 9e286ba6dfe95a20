package brokertest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"tidegate/broker"
)

// entries returns the entries of a node's register by name, and the register's version.
func (c *cluster) entries(node int) (map[string]broker.Entry, uint64) {
	c.Helper()
	list, version, err := c.Nodes[node].Register.Entries(c.Context(), 0)
	if err != nil {
		c.Fatal(err)
	}
	entries := make(map[string]broker.Entry)
	for _, entry := range list {
		entries[entry.Name] = entry
	}
	return entries, version
}

func (c *cluster) enter(node int, name, value string, lasts time.Duration) {
	c.Helper()
	if err := c.Nodes[node].Register.Enter(c.Context(), name, []byte(value), lasts); err != nil {
		c.Fatal(err)
	}
}

func testRegisterIsShared(_ *testing.T, c *cluster) {
	last := len(c.Nodes) - 1
	c.enter(0, "user:alice", `{"why":"a b"}`, time.Hour)
	c.enter(last, "user:bob", "", time.Hour)
	entries, _ := c.entries(last)
	if got := string(entries["user:alice"].Value); len(entries) != 2 || got != `{"why":"a b"}` {
		c.Errorf("the entries are %v", entries)
	}
	if left := time.Until(entries["user:alice"].Expires); left > time.Hour || left < time.Hour-time.Minute {
		c.Errorf("it expires in %v, want an hour", left)
	}
	for _, want := range []bool{true, false} {
		existed, err := c.Nodes[last].Register.Strike(c.Context(), "user:alice")
		if err != nil || existed != want {
			c.Errorf("struck: %v, %v, want %v", existed, err, want)
		}
	}
	if entries, _ := c.entries(0); len(entries) != 1 {
		c.Errorf("the entries are %v", entries)
	}
}

func testRegisterVersions(_ *testing.T, c *cluster) {
	_, before := c.entries(0)
	c.enter(0, "a", "1", time.Hour)
	_, after := c.entries(0)
	if before == after {
		c.Error("a change leaves the version")
	}
	list, version, err := c.Nodes[0].Register.Entries(c.Context(), after)
	if err != nil || len(list) != 0 || version != after {
		c.Errorf("unless it is at %d: %v, %d, %v", after, list, version, err)
	}
	c.enter(0, "a", "2", time.Hour)
	if entries, version := c.entries(0); string(entries["a"].Value) != "2" || version == after {
		c.Errorf("replaced: %v, version %d", entries, version)
	}
}

func testRegisterExpires(_ *testing.T, c *cluster) {
	c.enter(0, "short", "", 50*time.Millisecond)
	c.enter(0, "long", "", time.Hour)
	Eventually(c, "one of them to expire", func() bool {
		entries, _ := c.entries(0)
		if _, is := entries["long"]; !is {
			c.Fatalf("the entries are %v", entries)
		}
		return len(entries) == 1
	})
	if existed, err := c.Nodes[0].Register.Strike(c.Context(), "short"); err != nil || existed {
		c.Errorf("struck what has expired: %v, %v", existed, err)
	}
}

func testRegisterIsBounded(_ *testing.T, c *cluster) {
	var err error
	entered := 0
	for ; err == nil && entered < 20_000; entered++ {
		err = c.Nodes[0].Register.Enter(c.Context(), fmt.Sprint(entered), nil, time.Hour)
	}
	if !errors.Is(err, broker.ErrRegisterFull) {
		c.Fatalf("after %d entries: %v", entered, err)
	}
	c.enter(0, "7", "replaced", time.Hour)
}
