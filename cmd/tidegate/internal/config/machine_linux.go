package config

import (
	"math"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// machineMemory returns how many bytes this process may use: the memory of the machine, or
// the limit of its control groups (cgroups(7), version 2).
func machineMemory() int64 {
	most := int64(math.MaxInt64)
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		most = int64(info.Totalram) * int64(info.Unit)
	}
	membership, _ := os.ReadFile("/proc/self/cgroup")
	_, group, _ := strings.Cut(string(membership), "0::")
	group, _, _ = strings.Cut(group, "\n")
	for ; group != "" && group != "/" && group != "."; group = path.Dir(group) {
		most = min(most, allowedBy("/sys/fs/cgroup"+group+"/memory.max"))
	}
	return min(most, allowedBy("/sys/fs/cgroup/memory.max"))
}

func allowedBy(file string) int64 {
	content, _ := os.ReadFile(file)
	limit, err := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
	if err != nil { // no limit, or "max"
		return math.MaxInt64
	}
	return limit
}
