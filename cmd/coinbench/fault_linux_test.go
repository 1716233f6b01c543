package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"coinbench/history"
	"coinbench/history/event"
)

// long is a scenario that goes on until something stops it. One worker ignores being told to stop.
const long = `
name: long
steps:
  - deploy:
      rng: {replicas: 2, environment: {COIN_DELAY: 10ms}}
      hasher: {replicas: 1, environment: {COIN_DELAY: 10ms}}
      worker: {replicas: 2, environment: {COIN_ON_SIGTERM: ignore}}
      webui: 1
  - measure: {name: mining, for: 10m}
objectives:
  - hash_rate(mining) > 0
`

// session is a coinbench that runs in the background.
type session struct {
	*exec.Cmd
	dir            string // of the run
	stdout, stderr lockedBuffer
	ended          chan struct{}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start plays the long scenario below dir, with a web page on any free port unless args say otherwise.
func start(t *testing.T, dir string, args ...string) *session {
	t.Helper()
	file := filepath.Join(t.TempDir(), "long.yaml")
	if err := os.WriteFile(file, []byte(long), 0o644); err != nil {
		t.Fatal(err)
	}
	if len(args) == 0 {
		args = []string{"--publish", "webui=0"}
	}
	return begin(t, dir, exec.Command("coinbench", append([]string{"run", file, "--out", dir}, args...)...))
}

// begin starts a command that records into dir; it ends with the test.
func begin(t *testing.T, dir string, command *exec.Cmd) *session {
	t.Helper()
	s := &session{Cmd: command, dir: dir, ended: make(chan struct{})}
	s.Cmd.Stdout, s.Cmd.Stderr = &s.stdout, &s.stderr
	if err := s.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.Cmd.Wait()
		close(s.ended)
	}()
	t.Cleanup(func() {
		_ = s.Cmd.Process.Kill()
		<-s.ended
	})
	return s
}

// mining waits until the run measures, and returns the replicas' process ids.
func (s *session) mining(t *testing.T) []int {
	t.Helper()
	var pids []int
	until(t, "the run measures", func() bool {
		pids = nil
		run, err := history.Open(s.dir)
		if err != nil {
			return false
		}
		measuring := false
		for _, e := range run.Events {
			measuring = measuring || e.Is(event.WindowBegin{})
			if p, ok := e.Payload.(event.TaskStarted); ok && p.PID > 0 {
				pids = append(pids, p.PID)
			}
		}
		select {
		case <-s.ended:
			t.Fatalf("it ended early:\n%s%s", &s.stdout, &s.stderr)
		default:
		}
		return measuring
	})
	if len(pids) != 6 {
		t.Fatalf("%d replicas are processes, want 6", len(pids))
	}
	return pids
}

func (s *session) exit(t *testing.T) int {
	t.Helper()
	select {
	case <-s.ended:
	case <-time.After(patience):
		t.Fatalf("it did not end:\n%s", &s.stderr)
	}
	return s.ProcessState.ExitCode()
}

func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %s in vain: %s", patience, what)
		}
	}
}

// gone says whether none of the processes runs; a zombie is gone, too.
func gone(pids []int) bool {
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		_, state, _ := strings.Cut(string(stat), ") ")
		if !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X") {
			return false
		}
	}
	return true
}

// Killed without a chance to clean up: no replica lives on, not even one that ignores signals and one that is stopped, and
// the report of what was recorded says that it is incomplete.
func TestKilled(t *testing.T) {
	t.Parallel()
	s := start(t, filepath.Join(t.TempDir(), "run"))
	pids := s.mining(t)
	if err := syscall.Kill(pids[0], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := s.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	until(t, "every replica is gone", func() bool { return gone(pids) })

	out, err := exec.Command("coinbench", "report", s.dir).CombinedOutput()
	if code := exitCode(err); code != exitUnmeasured || !strings.Contains(string(out), "INCOMPLETE") {
		t.Errorf("report: exit code %d\n%s", code, out)
	}
}

// Interrupted: the app is taken down, and what was measured is reported.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	s := start(t, filepath.Join(t.TempDir(), "run"))
	pids := s.mining(t)
	if err := s.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := s.exit(t); code != exitUnmeasured {
		t.Errorf("exit code %d, want %d", code, exitUnmeasured)
	}
	if !gone(pids) {
		t.Error("replicas live on")
	}
	if out := s.stdout.String(); !strings.Contains(out, "INCOMPLETE") || !strings.Contains(out, "report.html") {
		t.Errorf("report:\n%s", out)
	}
	if !strings.Contains(s.stderr.String(), "interrupted") {
		t.Errorf("stderr:\n%s", &s.stderr)
	}
	run, err := history.Open(s.dir)
	if err != nil || run.Status != history.Interrupted {
		t.Errorf("status %q, %v", run.Status, err)
	}
}

// The port of the web page is taken by another program.
func TestBusyPort(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	s := start(t, filepath.Join(t.TempDir(), "run"), "--publish", "webui="+port)
	if code := s.exit(t); code != exitUsage {
		t.Errorf("exit code %d, want %d", code, exitUsage)
	}
	for _, want := range []string{port, "webui", "--publish webui="} {
		if !strings.Contains(s.stderr.String(), want) {
			t.Errorf("the message does not say %q:\n%s", want, &s.stderr)
		}
	}
}

// The disk fills up while the run goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, "64k")
	s := start(t, filepath.Join(disk, "run"))
	if code := s.exit(t); code != exitUnmeasured {
		t.Errorf("exit code %d, want %d", code, exitUnmeasured)
	}
	if !strings.Contains(s.stderr.String(), "no space left on device") || !strings.Contains(s.stderr.String(), "is kept") {
		t.Errorf("stderr:\n%s", &s.stderr)
	}
	if !strings.Contains(s.stdout.String(), "INCOMPLETE") {
		t.Errorf("the report was not printed:\n%s", &s.stdout)
	}
	run, err := history.Open(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, e := range run.Events {
		if p, ok := e.Payload.(event.TaskStarted); ok && p.PID > 0 {
			pids = append(pids, p.PID)
		}
	}
	if len(pids) == 0 || !gone(pids) {
		t.Errorf("of the replicas %v some live on", pids)
	}
	if len(run.Readings) == 0 {
		t.Error("what was measured before is lost")
	}
}

// smallDisk is an empty disk of that size.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size="+size); err != nil {
		if os.Getenv("COINBENCH_GATE") != "" {
			t.Fatalf("the gate needs a small disk: %v", err)
		}
		t.Skipf("not run: a full disk, for want of the right to mount one (%v)", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil { // a process may be about to end there
			t.Error(err)
		}
	})
	return disk
}

// The disk fills up under a load, of a scenario and alone: every request that the samples hold is in the report, and the message says what
// to do.
func TestFullDiskUnderLoad(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(&served{})
	t.Cleanup(server.Close)
	scenario := filepath.Join(t.TempDir(), "fills.yaml")
	text := `
name: fills
steps:
  - deploy: {worker: 0, rng: {replicas: 1, environment: {COIN_DELAY: 0ms, COIN_OCCUPANCY: 0ms}}, webui: 0}
  - attack: {name: load, service: rng, rate: 500/s, for: 60s}
`
	if err := os.WriteFile(scenario, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"run": {"run", scenario}, "attack": {"attack", "--rate", "500/s", "--duration", "60s", server.URL},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(smallDisk(t, "200k"), "run")
			s := begin(t, dir, exec.Command("coinbench", append(args, "--out", dir)...))
			if code := s.exit(t); code != exitUnmeasured {
				t.Errorf("exit code %d, want %d", code, exitUnmeasured)
			}
			if out := s.stderr.String(); !strings.Contains(out, "no space left on device") || !strings.Contains(out,
				"make room, then: coinbench report "+dir) {
				t.Errorf("stderr:\n%s", out)
			}
			files, _ := filepath.Glob(filepath.Join(dir, "load", "*", "samples.jsonl"))
			if len(files) != 1 {
				t.Fatalf("samples: %v", files)
			}
			samples, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			held := bytes.Count(samples, []byte("\n"))
			roomy := filepath.Join(t.TempDir(), "run")
			if err := os.CopyFS(roomy, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			if code := exitCode(exec.Command("coinbench", "report", roomy).Run()); code != exitUnmeasured {
				t.Errorf("report: exit code %d, want %d", code, exitUnmeasured)
			}
			report, err := os.ReadFile(filepath.Join(roomy, "result.json"))
			if err != nil {
				t.Fatal(err)
			}
			var result struct {
				Loads []struct {
					Requests int `json:"requests"`
				} `json:"loads"`
			}
			if err := json.Unmarshal(report, &result); err != nil || len(result.Loads) != 1 || result.Loads[0].Requests < held || held < 100 {
				t.Errorf("the samples hold %d requests, the report %+v, %v", held, result.Loads, err)
			}
		})
	}
}

// The process that keeps an app up: on a full disk it goes on, and its log names no secret of the app or of a change.
func TestSupervisorOnAFullDiskAndItsSecrets(t *testing.T) {
	t.Parallel()
	disk, runtime := smallDisk(t, "64k"), t.TempDir()
	do := func(want int, args ...string) string {
		t.Helper()
		c := exec.Command("coinbench", args...)
		c.Dir, c.Env = disk, append(os.Environ(), "XDG_RUNTIME_DIR="+runtime)
		out, err := c.CombinedOutput()
		if exitCode(err) != want {
			t.Errorf("%s: exit code %d, want %d\n%s", args, exitCode(err), want, out)
		}
		return string(out)
	}
	app := `services: {redis: {image: "redis:7"}, rng: {image: "coinbench/rng:v1", environment: {API_TOKEN: t0pDeployed}}}`
	if err := os.WriteFile(filepath.Join(disk, "app.yml"), []byte(app), 0o600); err != nil {
		t.Fatal(err)
	}
	do(exitPass, "up", "-d", "--file", "app.yml")
	t.Cleanup(func() { do(exitPass, "down") })
	said := do(exitUsage, "update", "rng", "--env", "COIN_DELAY=t0pDeployed") +
		do(exitUsage, "update", "rng", "--env", "COIN_DELAY=t0pChanged", "--env", "API_TOKEN=t0pChanged")
	log, err := os.ReadFile(filepath.Join(disk, "runs", "up", "latest", supervisorLog))
	if err != nil {
		t.Fatal(err)
	}
	if all := said + string(log); strings.Contains(all, "t0p") || strings.Count(all, history.Masked) < 4 {
		t.Errorf("secrets are told, or nothing is:\n%s", all)
	}
	if err := os.WriteFile(filepath.Join(disk, "full"), make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	do(exitPass, "scale", "rng=2")
	if out := do(exitPass, "update", "rng", "--image", "coinbench/rng:v2", "--delay", "0s", "--monitor", "1ms"); !strings.Contains(out,
		"log of rng.2#1 is not complete") || !strings.Contains(out, "no space left on device") {
		t.Errorf("the full disk is not told:\n%s", out)
	}
	if out := do(exitPass, "ps"); strings.Count(out, "coinbench/rng:v2") != 3 { // of the service and of two tasks
		t.Errorf("the update did not happen:\n%s", out)
	}
}
