package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
)

// measureFloor runs b on floors, as many as there are gateways. Each floor is a separate
// process, so that its CPU time can be told apart from that of the load generator.
func measureFloor(ctx context.Context, b benchmark, measured *site, redisURL string) (*Result, error) {
	if len(measured.urls) > 1 && redisURL == "" {
		return nil, errors.New("two of them reach each other through Redis only: give --floor-redis")
	}
	floors := &site{adapter: native, tokenOf: measured.tokenOf, progress: measured.progress, run: measured.run}
	for range measured.urls {
		p, err := startFloor(redisURL)
		if err != nil {
			return nil, err
		}
		defer p.stop()
		floors.urls = append(floors.urls, p.url)
		floors.watch.pids = append(floors.watch.pids, p.command.Process.Pid)
	}
	return b.measure(ctx, floors)
}

// floorProcess is a running floor.
type floorProcess struct {
	command *exec.Cmd
	url     *url.URL
}

func startFloor(redisURL string) (*floorProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &floorProcess{command: exec.Command(self, "bench", "floor", "--redis-url", redisURL)}
	p.command.Stderr = os.Stderr
	said, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(said).ReadString('\n')
	if err == nil {
		p.url, err = url.Parse(strings.TrimSpace(line))
	}
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("start it: %w", err)
	}
	return p, nil
}

func (p *floorProcess) stop() {
	_ = p.command.Process.Kill() // fails if the process has ended already
	_ = p.command.Wait()
}
