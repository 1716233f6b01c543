package vipvm

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// It takes a minute on a busy machine without KVM, installs packages, and freezes now and then where the host is busy: only when it
// is asked for.
func TestBoot(t *testing.T) {
	if os.Getenv("COINBENCH_GATE") != "1" || os.Getenv("COINBENCH_SWARM") != "1" {
		t.Skip("not run: it boots a virtual machine; set COINBENCH_GATE=1 and COINBENCH_SWARM=1")
	}
	dir := t.TempDir()
	var stdout, stderr bytes.Buffer
	status, err := Run(t.Context(), Options{Shares: []string{dir}, Env: []string{"WORD=hello"}, Timeout: 4 * time.Minute, Stdout: &stdout, Stderr: &stderr},
		"sh", "-c", `echo "$WORD" && docker info --format '{{.ServerVersion}}' && grep -q '^ip_vs ' /proc/modules && echo there >`+dir+`/file && exit 7`)
	if err != nil {
		if errors.Is(err, ErrNoResult) {
			t.Logf("its output:\n%s%s", stdout.String(), stderr.String())
		}
		t.Fatal(err)
	}
	if status != 7 || !strings.HasPrefix(stdout.String(), "hello\n2") {
		t.Errorf("status %d, said %q\n%s", status, stdout.String(), stderr.String())
	}
	if data, err := os.ReadFile(dir + "/file"); err != nil || string(data) != "there\n" {
		t.Errorf("what it wrote to the shared folder: %q, %v", data, err)
	}
}
