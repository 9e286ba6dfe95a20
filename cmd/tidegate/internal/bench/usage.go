package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"tidegate/cmd/tidegate/internal/config"
)

// meter reads the CPU time and memory of the gateways' processes.
type meter struct {
	pids    []int
	metrics []string
}

// usage is the resource usage of one or more processes.
type usage struct {
	cpu    time.Duration // since they started
	memory int64         // resident bytes
}

func (w *meter) blind() bool { return len(w.pids) == 0 && len(w.metrics) == 0 }

// read returns the sum over all processes. It is zero if the meter is blind.
func (w *meter) read(ctx context.Context) (usage, error) {
	var sum usage
	for _, pid := range w.pids {
		u, err := usageOfProcess(pid)
		if err != nil {
			return sum, fmt.Errorf("--pid %d: %w", pid, err)
		}
		sum = sum.plus(u)
	}
	for _, address := range w.metrics {
		u, err := usageByMetrics(ctx, address)
		if err != nil {
			return sum, fmt.Errorf("--metrics %s: %w", address, err)
		}
		sum = sum.plus(u)
	}
	return sum, nil
}

func (u usage) plus(v usage) usage {
	return usage{cpu: u.cpu + v.cpu, memory: u.memory + v.memory}
}

// userHertz is the number of clock ticks per second in /proc/PID/stat, on all architectures.
const userHertz = 100

// usageOfProcess reads /proc (see proc_pid_stat(5)).
func usageOfProcess(pid int) (usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	// The second field is the program's name in parentheses, which may contain anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const user, system, resident = 14 - 3, 15 - 3, 24 - 3
	if len(fields) <= resident {
		return usage{}, errors.New("/proc is not as on Linux")
	}
	var n [3]int64
	for i, field := range []int{user, system, resident} {
		if n[i], err = strconv.ParseInt(fields[field], 10, 64); err != nil {
			return usage{}, err
		}
	}
	return usage{
		cpu:    time.Duration(n[0]+n[1]) * time.Second / userHertz,
		memory: n[2] * int64(os.Getpagesize()),
	}, nil
}

// usageByMetrics reads the process metrics of the Prometheus endpoint at address.
func usageByMetrics(ctx context.Context, address string) (usage, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return usage{}, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return usage{}, err
	}
	defer answer.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		return usage{}, err
	}
	cpu, memory := families["process_cpu_seconds_total"], families["process_resident_memory_bytes"]
	if len(cpu.GetMetric()) == 0 || len(memory.GetMetric()) == 0 {
		return usage{}, errors.New("process_cpu_seconds_total and process_resident_memory_bytes are missing")
	}
	return usage{
		cpu:    time.Duration(cpu.Metric[0].GetCounter().GetValue() * float64(time.Second)),
		memory: int64(memory.Metric[0].GetGauge().GetValue()),
	}, nil
}

// spareDescriptors is how many file descriptors a process needs in addition to its sessions.
const spareDescriptors = 64

// checkDescriptors returns an error if the file descriptor limit of this process is too low
// for the sessions.
func checkDescriptors(sessions int) error {
	most := config.Descriptors()
	if need := sessions + spareDescriptors; need > most {
		return fmt.Errorf("%d sessions need %d file descriptors, and this process may have %d: use fewer sessions, or raise the limit (ulimit -n) here and for the gateway",
			sessions, need, most)
	}
	return nil
}
