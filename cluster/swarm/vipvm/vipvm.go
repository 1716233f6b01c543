// Package vipvm runs a command in a throw-away virtual machine whose kernel has IPVS, with an engine running in it.
//
// Swarm's virtual addresses and its ingress routing mesh need IPVS, which a kernel may lack. The script beside this file,
// which is also of use by hand, boots Debian's own kernel in QEMU over this machine's files (read-only), starts the engine
// and runs the command. It is for behaviour, never for speed: without KVM everything in it is slow. Debian and root only.
package vipvm

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"
)

//go:embed vipvm.sh
var script string

// ErrNoResult is the error of Run when the machine could not be made, froze, or took longer than its limit: nothing is
// known of the command. What happened is on the standard error stream.
var ErrNoResult = errors.New("the virtual machine gave no result")

// The script's own exit statuses.
const (
	exitLate   = 124
	exitFailed = 125
)

// Options say what machine it is.
type Options struct {
	Shares         []string      // folders of this machine that it may write to, at the same paths
	Env            []string      // NAME=value, for the command
	Timeout        time.Duration // of everything, whole seconds; 0: the script's own, an hour
	Stdout, Stderr io.Writer     // of the command; the script's own progress goes to Stderr as well
}

// Run runs a command and returns its exit status. It installs what it needs with apt-get, once.
func Run(ctx context.Context, o Options, command ...string) (status int, err error) {
	c := exec.CommandContext(ctx, "bash", append([]string{"-c", script, "vipvm.sh"}, arguments(o, command)...)...)
	c.Stdout, c.Stderr = o.Stdout, o.Stderr
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) } // it ends its machine
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
	return append(append(args, "--"), command...)
}
