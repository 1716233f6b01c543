package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"coinbench/cluster"
)

const poll = 5 * time.Millisecond

// process is a process that stays the same one: numbers are used again, numbers with a start time are not.
type process struct {
	PID   int    `json:"pid,omitempty"`
	Start uint64 `json:"start,omitempty"` // in clock ticks since the boot
}

// identify returns the process that has a number now.
func identify(pid int) (process, error) {
	start, _, err := stat(pid)
	return process{pid, start}, err
}

// alive says whether it runs. A zombie does not.
func (p process) alive() bool {
	if p.PID == 0 {
		return false
	}
	start, status, err := stat(p.PID)
	return err == nil && start == p.Start && status != 'Z' && status != 'X'
}

// kill ends it with SIGKILL and waits until it is gone, which for an init process means that everything in its
// namespace is gone as well.
func (p process) kill(ctx context.Context) error {
	for p.alive() {
		if err := sendKill(p.PID); err != nil {
			return fmt.Errorf("killing process %d: %w", p.PID, err)
		}
		if err := (cluster.RealTime{}).Sleep(ctx, poll); err != nil {
			return fmt.Errorf("process %d does not end: %w", p.PID, err)
		}
	}
	return nil
}

// stat reads the start time and the status letter of a process.
func stat(pid int) (start uint64, status byte, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	i := bytes.LastIndexByte(data, ')') // the name before it may hold anything
	fields := strings.Fields(string(data[i+1:]))
	if i < 0 || len(fields) < 20 {
		return 0, 0, fmt.Errorf("/proc/%d/stat is not understood", pid)
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	return start, fields[0][0], err
}

// processes calls a function for the number of every process.
func processes(visit func(pid int)) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			visit(pid)
		}
	}
	return nil
}

// mark is the argument that tells the init process of a lab's machine from all other processes.
func mark(name, machine string) string { return "coinbench-lab/" + name + "/" + machine }

// marked returns the init processes of a lab, whether they are recorded or not, and the folders that they use.
func marked(name string) (inits []process, dirs []string, err error) {
	err = processes(func(pid int) {
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			return
		}
		args := strings.Split(string(cmdline), "\x00") // sh -c SCRIPT MARK NAME FOLDER KIND
		if len(args) < 6 || args[1] != "-c" || args[3] != mark(name, args[4]) {
			return
		}
		if p, err := identify(pid); err == nil {
			inits = append(inits, p)
			dirs = append(dirs, filepath.Dir(args[5]))
		}
	})
	return inits, dirs, err
}

// inside returns the processes with a command name in the process namespace of an init process.
func (p process) inside(command string) ([]process, error) {
	command = command[:min(len(command), 15)] // as the kernel does
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", p.PID))
	if err != nil {
		return nil, err
	}
	var found []process
	err = processes(func(pid int) {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil || strings.TrimSuffix(string(comm), "\n") != command {
			return
		}
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid)); err != nil || ns != namespace {
			return
		}
		if q, err := identify(pid); err == nil && q.alive() {
			found = append(found, q)
		}
	})
	return found, err
}

func bootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data)), err
}

// tail returns the last lines of a log file, for an error.
func tail(path string, lines int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
