package broker_test

import (
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

// aclLine returns the words of the line that README.md gives for a server's ACL.
func aclLine(t *testing.T) []string {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	must(t, err)
	line := regexp.MustCompile(`(?m)^    (ACL SETUSER tidegate .*)$`).FindSubmatch(readme)
	if line == nil {
		t.Fatal("README.md has no line for the ACL")
	}
	return strings.Fields(string(line[1]))
}

func TestRights_TheLineOfTheReadmeIsEnough(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	server.CLI(aclLine(t)...)
	var log records
	config := broker.RedisConfig{
		URL: "redis://tidegate:PASSWORD@" + server.Addr, Linger: 10 * time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil)),
	}
	brokertest.Run(t, func(t *testing.T) brokertest.Subject {
		server.Flush()
		a, b := newRedis(t, config), newRedis(t, config)
		return brokertest.Subject{
			Nodes:       []brokertest.Node{{Broker: a, History: a, Presence: a, Register: a}, {Broker: b, History: b, Presence: b, Register: b}},
			PublishBare: func(channel, payload string) { server.CLI("PUBLISH", a.RedisName(channel), payload) },
		}
	})
	if denied := server.CLI("ACL", "LOG"); denied != "" {
		t.Errorf("Redis has denied:\n%s", denied)
	}
	if log.count("does not let this user") > 0 || log.count("each lost link counts") > 0 {
		t.Errorf("the log says that something is missing:\n%s", log.String())
	}
}

func TestRights_WhatIsMissingIsSaidByName(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	server.CLI(append(aclLine(t), "-wait", "-xrevrange", "resetchannels", "&other:*")...)
	var log records
	startNode(t, broker.RedisConfig{
		URL: "redis://tidegate:PASSWORD@" + server.Addr, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	brokertest.Eventually(t, "the log to say it", func() bool {
		return log.count(`denied="publish CHANNEL m, subscribe CHANNEL, wait 1 1, xrevrange KEY + -"`) == 1
	})
}

func TestRights_WhatOneMasterOfAClusterLacksIsSaid(t *testing.T) {
	cluster := brokertest.StartRedisCluster(t)
	for _, node := range cluster.Nodes {
		node.CLI(aclLine(t)...)
	}
	cluster.Nodes[2].CLI("ACL", "SETUSER", "tidegate", "-wait")
	var log records
	startNode(t, broker.RedisConfig{
		URL: strings.Replace(cluster.URL(), "://", "://tidegate:PASSWORD@", 1), Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	brokertest.Eventually(t, "the log to say it", func() bool {
		return log.count(`server=`+cluster.Nodes[2].Addr+` denied="wait 1 1"`) == 1
	})
}
