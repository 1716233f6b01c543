package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"coinbench/history"
	"coinbench/history/event"
)

// endless is a gate on the simulated cluster that would go on for long: its delays vary too much for what it asks.
func endless(store, out string, args ...string) *exec.Cmd {
	return exec.Command("coinbench", append([]string{"gate", "setting", "--cluster", "sim", "--set", "distribution=exponential", "--head-set",
		"think=101ms", "--precision", "0.0001%", "--store", store, "--out", out}, args...)...)
}

// storedBlocks counts the blocks of all series of a store, whole lines only.
func storedBlocks(store string) (n int) {
	files, _ := filepath.Glob(filepath.Join(store, "*.jsonl"))
	for _, f := range files {
		b, _ := os.ReadFile(f)
		for line := range strings.Lines(string(b)) {
			if strings.HasPrefix(line, `{"block"`) && strings.HasSuffix(line, "}\n") {
				n++
			}
		}
	}
	return n
}

// goesOn says that a store is whole, and that the same gate adds pairs to it.
func goesOn(t *testing.T, store string, mostBroken string) {
	t.Helper()
	before := storedBlocks(store)
	out, err := exec.Command("coinbench", "store", "check", "--store", store).CombinedOutput()
	if !strings.Contains(string(out), " 0 lines that cannot be read") && !strings.Contains(string(out), mostBroken) {
		t.Errorf("store check: %v: %s", err, out)
	}
	c := endless(store, t.TempDir(), "--budget", "30s", "--more")
	if out, err := c.CombinedOutput(); exitCode(err) != exitUnmeasured || !strings.Contains(string(out), "INCONCLUSIVE") {
		t.Errorf("--more: %v\n%s", err, out)
	}
	if after := storedBlocks(store); after <= before {
		t.Errorf("%d blocks, and %d after more", before, after)
	}
}

// A gate that is killed keeps every block that was over, and goes on.
func TestGateIsKilled(t *testing.T) {
	t.Parallel()
	store, out := t.TempDir(), t.TempDir()
	s := begin(t, out, endless(store, out, "--budget", "1000h"))
	until(t, "three pairs are stored", func() bool { return storedBlocks(store) >= 6 })
	if err := s.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	goesOn(t, store, " 1 lines that cannot be read")
}

// On this machine a killed gate leaves no process of the block that it was measuring.
func TestGateIsKilledOnLocal(t *testing.T) {
	t.Parallel()
	store, out := t.TempDir(), t.TempDir()
	s := begin(t, out, exec.Command("coinbench", "gate", "setting", "--set", "workers=2", "--set", "rng=1", "--head-set", "think=110ms",
		"--settle", "0s", "--block", "1s", "--store", store, "--out", out))
	var pids []int
	until(t, "a block is stored and the next one has its replicas", func() bool {
		select {
		case <-s.ended:
			t.Fatalf("it ended early:\n%s%s", &s.stdout, &s.stderr)
		default:
		}
		if storedBlocks(store) != 1 {
			return storedBlocks(store) > 1 // it was quicker than this look
		}
		pids = nil
		folders, _ := filepath.Glob(filepath.Join(out, "*-01-2-*"))
		for _, dir := range folders {
			run, err := history.Open(dir)
			if err != nil {
				return false
			}
			for _, e := range run.Events {
				if p, ok := e.Payload.(event.TaskStarted); ok && p.PID > 0 {
					pids = append(pids, p.PID)
				}
			}
		}
		return len(pids) >= 4
	})
	if err := s.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	until(t, "its replicas are gone", func() bool { return gone(pids) })
	if storedBlocks(store) == 0 {
		t.Error("the block that was over is lost")
	}
}

// A full disk under the store ends the gate with the reason; what was stored is whole, and it goes on where there is room.
func TestGateOnAFullDisk(t *testing.T) {
	t.Parallel()
	store, out := smallDisk(t, "16k"), t.TempDir()
	s := begin(t, out, endless(store, out, "--budget", "1000h"))
	if code := s.exit(t); code != exitUnmeasured {
		t.Errorf("exit code %d, want %d", code, exitUnmeasured)
	}
	if said := s.stderr.String(); !strings.Contains(said, "no space left on device") || !strings.Contains(said, "make room; the same command goes on") {
		t.Errorf("stderr:\n%s", said)
	}
	roomy := filepath.Join(t.TempDir(), "store")
	if err := os.CopyFS(roomy, os.DirFS(store)); err != nil {
		t.Fatal(err)
	}
	if storedBlocks(roomy) < 4 {
		t.Errorf("%d blocks are left", storedBlocks(roomy))
	}
	goesOn(t, roomy, " 1 lines that cannot be read")
}
