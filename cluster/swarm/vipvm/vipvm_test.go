package vipvm

import (
	"bytes"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestArguments(t *testing.T) {
	got := arguments(Options{Shares: []string{"/a", "/b"}, Env: []string{"K=v w"}, Timeout: 90 * time.Second}, []string{"echo", "--env"})
	want := []string{"--share", "/a", "--share", "/b", "--env", "K=v w", "--timeout", "90", "--", "echo", "--env"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	got = arguments(Options{MemoryMB: 3072, Swarm: &Swarm{Program: "/p", Registry: "/r"}}, []string{"docker", "ps"})
	want = []string{"--mem", "3072", "--no-docker", "--", "bash", "-c", swarmScript, "swarm.sh", "2", "/p", "/r", "docker", "ps"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestTheScriptIsWellFormedAndSaysHowToUseIt(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("not run: the guest's script, for want of bash")
	}
	for _, text := range []string{script, swarmScript, inTheGuest} {
		c := exec.CommandContext(t.Context(), "bash", "-n")
		c.Stdin = strings.NewReader(text)
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	var stderr bytes.Buffer
	if _, err := Run(t.Context(), Options{Stderr: &stderr}); !errors.Is(err, ErrNoResult) || !strings.Contains(stderr.String(),
		"usage: vipvm.sh") {
		t.Errorf("without a command: %v, %s", err, stderr.String())
	}
}
