package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// afterThree interrupts prove when its third setting was measured.
type afterThree struct{ signals chan<- os.Signal }

func (a afterThree) Write(text []byte) (int, error) {
	if bytes.HasPrefix(text, []byte("3/")) {
		a.signals <- syscall.SIGINT
	}
	return len(text), nil
}

// What was measured before an interruption has its table.
func TestProveThatIsInterruptedKeepsItsTable(t *testing.T) {
	dir := t.TempDir() + "/proof"
	signals := make(chan os.Signal)
	defer close(signals)
	i := &interrupts{}
	p := process{env: os.LookupEnv, stdout: io.Discard, stderr: afterThree{signals}, interrupts: i, secrets: secretsOf(process{})}
	go i.watch(signals, func() { t.Error("ended at once") })
	_, err := prove(p, "", dir, 6, 1, 2*time.Second, 0, clusterFlags{name: "sim"})
	if err == nil || !strings.Contains(err.Error(), "of 6 settings were measured; their table: coinbench prove --from "+dir) {
		t.Fatal(err)
	}
	again, err := proveAgain(dir, "")
	if err != nil || len(again.Rows) == 0 || len(again.Rows) >= 6 {
		t.Errorf("%d rows, %v", len(again.Rows), err)
	}
}
