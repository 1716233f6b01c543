// Package vipvm runs a command in a throw-away guest whose kernel has IPVS, with an engine running in it.
//
// Swarm's virtual addresses and its ingress routing mesh need IPVS, which a kernel may lack. The script next to this file,
// which is also of use by hand, starts Debian's User Mode Linux, a kernel that is an ordinary program, over this machine's files
// (read-only), starts the engine and runs the command. It has one processor, and system calls cost more there: it is for behaviour,
// not for speed. Debian and root only.
package vipvm

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

var (
	//go:embed vipvm.sh
	script string
	//go:embed swarm.sh
	swarmScript string
)

// ErrNoResult is the error of Run when the guest could not be made, or took longer than its limit: nothing is known of the
// command. What happened is on the standard error stream.
var ErrNoResult = errors.New("the guest gave no result")

// The script's own exit statuses.
const (
	exitLate   = 124
	exitFailed = 125
)

// Options say what guest it is.
type Options struct {
	Shares         []string      // folders of this machine that it may write to, at the same paths
	Env            []string      // NAME=value, for the command
	Timeout        time.Duration // of everything, whole seconds; 0: the script's own, an hour
	MemoryMB       int           // 0: the script's own, 3072
	Swarm          *Swarm        // nil: one engine that is in no Swarm
	Stdout, Stderr io.Writer     // of the command; the script's own progress goes to Stderr as well
}

// Swarm is what the command finds in the guest instead of the one engine: a lab of several nodes, as package lab makes
// it, with the manager's engine in DOCKER_HOST, and the program itself as coinbench.
type Swarm struct {
	Nodes    int    // 0: 2
	Program  string // path of the coinbench binary
	Registry string // folder of the lab's registry, which has the images; Fill makes one
}

// Run runs a command and returns its exit status. It installs what it needs with apt-get, once.
func Run(ctx context.Context, o Options, command ...string) (status int, err error) {
	c := exec.CommandContext(ctx, "bash", append([]string{"-c", script, "vipvm.sh"}, arguments(o, command)...)...)
	c.Stdout, c.Stderr = o.Stdout, o.Stderr
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) } // it ends its guest
	c.WaitDelay = 10 * time.Second
	err = c.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return 0, fmt.Errorf("vipvm: %w", context.Cause(ctx))
	case err == nil:
		return 0, nil
	case !errors.As(err, &exit):
		return 0, fmt.Errorf("vipvm: %w", err)
	case exit.ExitCode() == exitLate || exit.ExitCode() == exitFailed || exit.ExitCode() < 0:
		return 0, fmt.Errorf("vipvm: %w (%w)", ErrNoResult, err)
	}
	return exit.ExitCode(), nil
}

func arguments(o Options, command []string) []string {
	var args []string
	for _, s := range o.Shares {
		args = append(args, "--share", s)
	}
	for _, e := range o.Env {
		args = append(args, "--env", e)
	}
	if o.Timeout > 0 {
		args = append(args, "--timeout", fmt.Sprint(int(o.Timeout.Seconds())))
	}
	if o.MemoryMB > 0 {
		args = append(args, "--mem", strconv.Itoa(o.MemoryMB))
	}
	if s := o.Swarm; s != nil && len(command) > 0 {
		args = append(args, "--no-docker")
		command = append([]string{"bash", "-c", swarmScript, "swarm.sh", strconv.Itoa(cmp.Or(s.Nodes, 2)), s.Program, s.Registry}, command...)
	}
	return append(append(args, "--"), command...)
}
