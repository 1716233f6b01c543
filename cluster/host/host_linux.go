package host

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"coinbench/history"
)

// ticksPerSecond is the unit of /proc/stat, USER_HZ: 100 on every architecture that Go runs on.
const ticksPerSecond = 100

// Counters says what this machine's processors did, for how long something had to wait for one, and what this very process
// used of them, in seconds under the names of package history. What the kernel does not say is left out.
func Counters() map[string]float64 {
	values := map[string]float64{}
	if data, err := os.ReadFile("/proc/stat"); err == nil {
		parseStat(data, values)
	}
	if data, err := os.ReadFile("/proc/pressure/cpu"); err == nil {
		parsePressure(data, values)
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err == nil {
		values[history.ProcessCPU] = time.Duration(own.Utime.Nano() + own.Stime.Nano()).Seconds()
	}
	return values
}

// Kernel tells one running kernel from another: containers and network namespaces of one machine share it. "" where it is not
// known.
func Kernel() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// parseStat reads the line "cpu user nice system idle iowait irq softirq steal ..." of /proc/stat. Time that the
// hypervisor gave to others (steal) counts as busy: it was not there for the app.
func parseStat(data []byte, values map[string]float64) {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	fields := strings.Fields(string(line))
	if len(fields) < 9 || fields[0] != "cpu" {
		return
	}
	var all, idle float64
	for i, field := range fields[1:9] {
		ticks, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return
		}
		all += ticks
		if i == 3 || i == 4 {
			idle += ticks
		}
	}
	values[history.HostCPU] = all / ticksPerSecond
	values[history.HostBusy] = (all - idle) / ticksPerSecond
}

// parsePressure reads the total of the line "some avg10=... total=<microseconds>" of /proc/pressure/cpu.
func parsePressure(data []byte, values map[string]float64) {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	if !bytes.HasPrefix(line, []byte("some ")) {
		return
	}
	_, total, _ := bytes.Cut(line, []byte("total="))
	if us, err := strconv.ParseFloat(string(total), 64); err == nil {
		values[history.HostPressure] = us / 1e6
	}
}
