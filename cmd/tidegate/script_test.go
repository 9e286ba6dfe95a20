package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"tidegate/broker/brokertest"
)

// The example in the help of "tidegate script" appends to the history of a real node.
func TestScript_ExampleAsPrinted(t *testing.T) {
	brokertest.RequireRedis(t)
	redis := brokertest.StartRedis(t)
	n := startReady(t, []string{"TIDEGATE_REDIS_URL=" + redis.URL()})
	bin := t.TempDir()
	_, port, _ := strings.Cut(redis.Addr, ":")
	writeProgram(t, bin, "redis-cli", fmt.Sprintf("exec %s -p %s \"$@\"", brokertest.FindProgram(t, "redis-cli"), port))
	writeProgram(t, bin, "tidegate", fmt.Sprintf("BE_TIDEGATE=1 exec %s \"$@\"", os.Args[0]))
	command := exec.CommandContext(context.Background(), "sh", "-c", newScriptCommand().Example)
	command.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	cursor, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(cursor), ":1") {
		t.Fatalf("%v: %s", err, cursor)
	}
	body := eventually(t, n.public("/api/channels/chat:lobby/messages"), http.StatusOK)
	if !strings.Contains(body, `{"text":"hi"}`) || !strings.Contains(body, strings.TrimSpace(string(cursor))) {
		t.Errorf("the history is %s, the script returned %s", body, cursor)
	}
}

func writeProgram(t *testing.T, dir, name, script string) {
	t.Helper()
	must(t, os.WriteFile(dir+"/"+name, []byte("#!/bin/sh\n"+script+"\n"), 0o700))
}
