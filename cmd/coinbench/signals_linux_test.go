package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"coinbench/history"
	"coinbench/history/event"
)

// TestSignals ends a run, loads and a search at random instants, from their very first on until after they are over: nothing is left
// running, the port is free, what was recorded is reported, the exit code is the record's, and one line says why. A third of the instants
// are in the first 400 ms. COINBENCH_SIGNALS=30 asks for 30 instants of each signal and command instead of 3.
func TestSignals(t *testing.T) {
	t.Parallel()
	instants := 3
	if text := os.Getenv("COINBENCH_SIGNALS"); text != "" {
		var err error
		if instants, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // where this test is under nohup, commands would ignore it as they should
	t.Cleanup(func() { signal.Stop(hangups) })
	server := httptest.NewServer(&served{})
	t.Cleanup(server.Close)
	scenario := filepath.Join(t.TempDir(), "smoke.yaml")
	if err := os.WriteFile(scenario, shortSmoke(t), 0o644); err != nil {
		t.Fatal(err)
	}
	commands := []struct { // none of them is over within 3 s
		name  string
		lasts time.Duration
		args  func(dir, address, port string) []string
	}{
		{"run", 7 * time.Second, func(dir, _, port string) []string {
			return []string{"run", scenario, "--out", dir, "--publish", "webui=" + port}
		}},
		{"attack", 4 * time.Second, func(dir, address, _ string) []string {
			return []string{"attack", "--rate", "100/s", "--duration", "3s", "--out", dir, "--metrics", address, server.URL}
		}},
		{"bench", 4 * time.Second, func(dir, address, _ string) []string {
			return []string{"bench", "-t", "3", "-c", "2", "-k", "--out", dir, "--metrics", address, server.URL}
		}},
		{"search", 4 * time.Second, func(dir, address, _ string) []string {
			return []string{"search", "--slo", "p99<10s", "--most", "50", "--block", "1s", "--out", dir, "--metrics", address, server.URL}
		}},
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var cases sync.WaitGroup // they wait for the most part: more at once than the tests that need a processor
	busy := make(chan struct{}, 8)
	for i := range instants {
		for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
			for _, c := range commands {
				within := c.lasts
				if i%3 == 0 {
					within = 400 * time.Millisecond
				}
				after := time.Duration(random.Int64N(int64(within)))
				play := func(t *testing.T) {
					dir, port := filepath.Join(t.TempDir(), "run"), reserved(t)
					address := net.JoinHostPort("127.0.0.1", port)
					s := begin(t, dir, exec.Command("coinbench", c.args(dir, address, port)...))
					select {
					case <-time.After(after):
					case <-s.ended:
					}
					children := descendants(s.Process.Pid)
					if err := s.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
						t.Fatal(err)
					}
					s.endedBy(t, c.name, after, children, address)
				}
				cases.Go(func() {
					busy <- struct{}{}
					defer func() { <-busy }()
					t.Run(fmt.Sprintf("%s/%s/%d", c.name, sig, i+1), play)
				})
			}
		}
	}
	cases.Wait()
}

// shortSmoke is the scenario smoke with a page, which needs a port, and with a shorter window.
func shortSmoke(t *testing.T) []byte {
	t.Helper()
	out, err := exec.Command("coinbench", "scenarios", "--show", "smoke").Output()
	if err != nil {
		t.Fatal(err)
	}
	text := string(out)
	for from, to := range map[string]string{"webui: 0}": "webui: 1}", "for: 5s}": "for: 2s}"} {
		if !strings.Contains(text, from) {
			t.Fatalf("smoke has no %q any more", from)
		}
		text = strings.Replace(text, from, to, 1)
	}
	return []byte(text)
}

// reserved is a port below those that the system hands out, so that no other test is given it meanwhile.
func reserved(t *testing.T) string {
	t.Helper()
	for range 1000 {
		port := strconv.Itoa(20000 + rand.IntN(10000))
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port from 20000 to 29999")
	return ""
}

// descendants are the processes that a process started, and those that these did.
func descendants(pid int) []int {
	var all []int
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, field := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				all = append(append(all, child), descendants(child)...)
			}
		}
	}
	return all
}

// endedBy checks how a command ended that was sent a signal.
func (s *session) endedBy(t *testing.T, command string, after time.Duration, children []int, address string) {
	t.Helper()
	code := s.exit(t)
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("after %s: %s; exit code %d\n%s", after, fmt.Sprintf(format, args...), code, &s.stderr)
	}
	if l, err := net.Listen("tcp", address); err != nil {
		fail("the port is not free: %v", err)
	} else {
		l.Close()
	}
	run, err := history.Open(s.dir)
	if err != nil { // it had not begun
		if _, made := os.Stat(s.dir); made == nil || s.stdout.String() != "" || !gone(children) {
			fail("%v, and its folder %v, processes %v, and on standard output %q", err, made, children, &s.stdout)
		}
		// Before the Go runtime has begun nothing can be heard: the system ends the process.
		state, _ := s.ProcessState.Sys().(syscall.WaitStatus)
		if lines := strings.Split(strings.TrimSpace(s.stderr.String()), "\n"); !state.Signaled() &&
			(code != exitUnmeasured || !strings.Contains(lines[len(lines)-1], "interrupted")) {
			fail("it had not begun")
		}
		if state.Signaled() && after > time.Second {
			fail("the system ended it: %s", s.ProcessState)
		}
		t.Logf("after %s: it had not begun; %s", after, s.ProcessState)
		return
	}
	for _, e := range run.Events {
		if p, ok := e.Payload.(event.TaskStarted); ok && p.PID > 0 {
			children = append(children, p.PID)
		}
	}
	if !gone(children) {
		fail("of the processes %v some live on", children)
	}
	for _, name := range []string{"report.html", "report.md", "report.txt", "junit.xml", "result.json"} {
		if command == "search" { // has no report until it is asked for
			break
		}
		if info, err := os.Stat(filepath.Join(s.dir, name)); err != nil || info.Size() == 0 {
			fail("no %s: %v", name, err)
		}
	}
	if s.stdout.String() == "" {
		fail("no report was printed")
	}
	t.Logf("after %s: %s, exit code %d", after, run.Status, code)
	said := strings.Contains(s.stderr.String(), "interrupted")
	switch run.Status {
	case history.Interrupted:
		if code != exitUnmeasured || !said {
			fail("the record says interrupted")
		}
	case history.Finished:
		if after < 3*time.Second {
			fail("it went on")
		}
		if again := exitCode(exec.Command("coinbench", "report", s.dir).Run()); code != again && command != "search" || said {
			fail("the record says finished, and its report ends with %d", again)
		}
	default:
		fail("the record says %q", run.Status)
	}
}
