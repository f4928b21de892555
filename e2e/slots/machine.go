package slots

import (
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// What one host takes of the machine while a scenario runs on it, at its most: two versions of an
// application, an installation by pip, and less than half of a core: with three hosts a core,
// visitors were seen to wait for ten seconds. systemd watches files.
const (
	hostMemory      = 600 << 20
	hostsOnTwoCores = 5
	inotifyPerHost  = 20
	inotifyForOwner = 8 // what else this user has
)

// AtOnce is how many hosts this machine bears side by side, at least one.
func AtOnce() int {
	hosts := min(hostsOnTwoCores*runtime.NumCPU()/2, freeMemory()/hostMemory,
		(inotifyInstances()-inotifyForOwner)/inotifyPerHost)
	return max(1, hosts)
}

// freeMemory is what the kernel says can be had, in bytes, but no more than this process's control
// group may take.
func freeMemory() int {
	free := math.MaxInt
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if kb, found := strings.CutPrefix(line, "MemAvailable:"); found {
				free = number(strings.TrimSuffix(strings.TrimSpace(kb), " kB"), math.MaxInt>>10) << 10
			}
		}
	}
	for _, limit := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if text, err := os.ReadFile(limit); err == nil {
			free = min(free, number(string(text), math.MaxInt)) // "max" where there is none
		}
	}
	return free
}

func inotifyInstances() int {
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_user_instances")
	if err != nil {
		return math.MaxInt
	}
	return number(string(text), math.MaxInt)
}

func number(text string, otherwise int) int {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return otherwise
	}
	return n
}
