package local

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"coinbench/cluster"
	"coinbench/history"
	"coinbench/history/event"
)

// supervise is a coinbench that is killed: it deploys three replicas that ignore SIGTERM, says their process ids and waits.
func supervise() int {
	source := `services:
  rng:
    image: coinbench/rng:v0.1
    environment: {TEST_REPLICA: 'true', TEST_STUBBORN: 'true'}
    deploy: {replicas: 3}
`
	app, err := cluster.LoadApp(context.Background(), "docker-compose.yml", []byte(source), nil)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	c, err := New(Config{Command: []string{os.Args[0]}, Sink: func(e history.Event) {
		if p, ok := e.Payload.(event.TaskStarted); ok {
			fmt.Println(p.PID)
		}
	}})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if err := c.Deploy(context.Background(), app); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("up")
	bufio.NewReader(os.Stdin).ReadByte()
	return 0
}

// alive says whether a process is there and no zombie.
func alive(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// No replica outlives a coinbench that is killed, not even one that is stopped and can neither read its pipe nor hear a signal.
func TestNoReplicaOutlivesItsSupervisor(t *testing.T) {
	cmd := exec.Command(os.Args[0], "supervise")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pids []int
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "up" {
		pid, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Error(lines.Text())
			continue
		}
		pids = append(pids, pid)
	}
	if len(pids) != 3 {
		t.Errorf("%d replicas; want 3 (%v)", len(pids), lines.Err())
	} else if err := syscall.Kill(pids[0], syscall.SIGSTOP); err != nil {
		t.Error(err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	for _, pid := range pids {
		wait(t, fmt.Sprint("the end of ", pid), func() bool { return !alive(pid) })
	}
}
