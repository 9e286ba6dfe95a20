package bench

import (
	"bufio"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
)

// startFloors starts as many floors as there are gateways, until stop is called, also after an
// error. Each floor is a separate process, so that its CPU time can be told apart from that of
// the load generator.
func startFloors(gateways *site, redisURL string) (floors *site, stop func(), err error) {
	var started []*floorProcess
	stop = func() {
		for _, p := range started {
			p.stop()
		}
	}
	if len(gateways.urls) > 1 && redisURL == "" {
		return nil, stop, errors.New("two floors reach each other only through Redis: set --floor-redis")
	}
	floors = &site{adapter: native, tokenOf: gateways.tokenOf, progress: gateways.progress, run: gateways.run}
	for range gateways.urls {
		p, err := startFloor(redisURL)
		if err != nil {
			return nil, stop, err
		}
		started = append(started, p)
		floors.urls = append(floors.urls, p.url)
		floors.watch.pids = append(floors.watch.pids, p.command.Process.Pid)
	}
	return floors, stop, nil
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
