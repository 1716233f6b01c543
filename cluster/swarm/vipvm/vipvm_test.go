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
}

func TestTheScriptIsWellFormedAndSaysHowToUseIt(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash here")
	}
	c := exec.CommandContext(t.Context(), "bash", "-n")
	c.Stdin = strings.NewReader(script)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	var stderr bytes.Buffer
	if _, err := Run(t.Context(), Options{Stderr: &stderr}); !errors.Is(err, ErrNoResult) || !strings.Contains(stderr.String(), "usage: vipvm.sh") {
		t.Errorf("without a command: %v, %s", err, stderr.String())
	}
}
