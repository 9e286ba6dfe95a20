package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tidegate/broker/brokertest"
)

func TestDev_FindsTheBrowser(t *testing.T) {
	for _, test := range []struct {
		system, variable string
		want             []string
	}{
		{"linux", "", nil},
		{"linux", "DISPLAY", []string{"xdg-open"}},
		{"freebsd", "WAYLAND_DISPLAY", []string{"xdg-open"}},
		{"linux", "BROWSER", []string{"set", "--it"}},
		{"darwin", "", []string{"open"}},
		{"windows", "", []string{"rundll32", "url.dll,FileProtocolHandler"}},
	} {
		getenv := func(name string) string {
			if name == test.variable {
				return "set --it"
			}
			return ""
		}
		if got := browserOf(test.system, getenv); !slices.Equal(got, test.want) {
			t.Errorf("%s with %q: %q, want %q", test.system, test.variable, got, test.want)
		}
	}
}

// The name of a program may contain spaces, such as that of "Google Chrome".
func TestDev_ABrowserMayHaveSpacesInItsName(t *testing.T) {
	browser := filepath.Join(t.TempDir(), "my browser")
	must(t, os.WriteFile(browser, nil, 0o700))
	if got := browserOf("linux", func(string) string { return browser }); !slices.Equal(got, []string{browser}) {
		t.Errorf("%q is started as %q", browser, got)
	}
}

// At a terminal, the console is opened in the browser.
func TestDev_OpensTheConsoleAtATerminal(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	opened := filepath.Join(folder, "opened")
	browser := filepath.Join(folder, "browser")
	must(t, os.WriteFile(browser, fmt.Appendf(nil, "#!/bin/sh\necho \"$1\" $$ > %s.part && mv %s.part %s\n", opened, opened, opened), 0o700))
	command := atTerminal(t, "dev --listen 127.0.0.1:0 --internal-listen 127.0.0.1:0")
	command.Env = append(command.Env, "BROWSER="+browser)
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	stdin, err := command.StdinPipe()
	must(t, err)
	must(t, command.Start())
	url, process, _ := strings.Cut(strings.TrimSpace(eventuallyRead(t, opened)), " ")
	await(t, "the end of the browser's process", func() (met bool, seen string) {
		_, err := os.Stat("/proc/" + process) // a zombie is there, too
		return err != nil, "process " + process
	})
	if _, err := stdin.Write([]byte{3}); err != nil { // Ctrl-C
		t.Error(err)
	}
	if err := command.Wait(); err != nil {
		t.Errorf("%v\n%s", err, &said)
	}
	if !strings.HasPrefix(url, "http://127.0.0.1:") || !strings.Contains(said.String(), url) {
		t.Errorf("opened %q, said\n%s", url, &said)
	}
}

// atTerminal returns a command that runs at a terminal, which script(1) creates.
func atTerminal(t *testing.T, line string) *exec.Cmd {
	t.Helper()
	script := brokertest.FindProgram(t, "script")
	command := exec.CommandContext(t.Context(), script, "--quiet", "--return", "--flush", "--command", "exec "+os.Args[0]+" "+line, "/dev/null")
	command.Env = append(os.Environ(), "BE_TIDEGATE=1")
	return command
}

func eventuallyRead(t *testing.T, path string) (content string) {
	t.Helper()
	await(t, path+" to be written", func() (met bool, seen string) {
		read, err := os.ReadFile(path)
		content = string(read)
		return err == nil, fmt.Sprint(err)
	})
	return content
}

func TestDev_IsForDevelopmentOnly(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "dev", "--config", write(t, "tidegate.yaml", "channels: [{match: a, subscribe: anyone}]\n"))
	p.waitFor("run it with tidegate serve")
	if code := p.wait(); code != 1 {
		t.Errorf("it ends with %d", code)
	}
}
