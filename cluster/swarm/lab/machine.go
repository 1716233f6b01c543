package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// bootScript is what the init process of a machine does. It makes the mounts private, so that nothing of them is seen
// outside, and gives the machine its own /proc and name. A node also gets its own /run, /var/lib and /etc, the last over
// the host's: these are where an engine keeps things, some of them whatever its configuration says. Then it says "ready"
// and does nothing but bury the processes that lost their parents. Its arguments: mark, host name, folder, kind.
const bootScript = `set -e
mount --make-rprivate /
mount -t proc proc /proc
echo "$1" >/proc/sys/kernel/hostname
ip link set lo up
if [ "$3" = node ]; then
	cd "$2"
	mount -t tmpfs -o mode=755 tmpfs scratch
	mkdir -p scratch/etc/docker scratch/work
	cp resolv.conf scratch/etc/resolv.conf
	mount -t overlay -o "lowerdir=/etc,upperdir=$2/scratch/etc,workdir=$2/scratch/work" overlay /etc
	mount -t tmpfs -o mode=755 tmpfs /var/lib # may hide where we are, so no path is looked up from here on
	mkdir /var/lib/docker
	mount -c --bind docker /var/lib/docker
	mount -c --bind run /run
	cd /
else
	echo 1 >/proc/sys/net/ipv4/ip_forward
fi
echo ready >&3
exec 3>&- </dev/null
while :; do sleep 3600; done`

// engineEnvironment keeps proxies and settings of the caller's shell out of the engines: the way to the lab's registry
// leads through no proxy.
func engineEnvironment(dockerd string) []string {
	return []string{"PATH=" + filepath.Dir(dockerd) + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}
}

// startMachine starts an init process in new namespaces and returns when it has set them up.
func startMachine(ctx context.Context, lab, machine, dir, kind string) (process, error) {
	fault := func(err error) (process, error) {
		return process{}, fmt.Errorf("starting the machine %s: %w", machine, err)
	}
	logPath := filepath.Join(dir, "init.log")
	log, err := appendTo(logPath)
	if err != nil {
		return fault(err)
	}
	defer log.Close()
	ready, tell, err := os.Pipe()
	if err != nil {
		return fault(err)
	}
	defer ready.Close()
	sh, err := exec.LookPath("sh")
	if err != nil {
		tell.Close()
		return fault(err)
	}
	c := exec.Command(sh, "-c", bootScript, mark(lab, machine), machine, dir, kind)
	c.Dir, c.Stdout, c.Stderr, c.ExtraFiles = "/", log, log, []*os.File{tell}
	detachAsInit(c)
	err = c.Start()
	tell.Close()
	if err != nil {
		return fault(err)
	}
	p, err := identify(c.Process.Pid)
	go c.Wait() // bury it, if it ends before this program does
	if err != nil {
		return fault(err)
	}
	stop := context.AfterFunc(ctx, func() { ready.Close() })
	said, _ := io.ReadAll(ready)
	stop()
	if strings.TrimSpace(string(said)) != "ready" {
		sendKill(p.PID)
		if ctx.Err() != nil {
			return fault(context.Cause(ctx))
		}
		return fault(errors.New(tail(logPath, 3)))
	}
	return p, nil
}

// enter returns a command that runs in some of a machine's namespaces (flags of nsenter).
func (p process) enter(ctx context.Context, flags []string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append(append([]string{"-t", fmt.Sprint(p.PID)}, flags...),
		append([]string{"--"}, args...)...)...)
}

// launch starts a command inside a machine that outlives this program and ends with the machine.
func (p process) launch(flags []string, logPath string, env []string, args ...string) (<-chan struct{}, error) {
	log, err := appendTo(logPath)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c := p.enter(context.Background(), flags, args...)
	c.Dir, c.Stdout, c.Stderr, c.Env = "/", log, log, env
	detach(c)
	if err := c.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		c.Wait()
		close(ended)
	}()
	return ended, nil
}

// links runs lines of the ip command in a machine's network namespace, or in the host's for the zero process.
func (p process) links(ctx context.Context, lines ...string) error {
	c := exec.CommandContext(ctx, "ip", "-batch", "-")
	if p.PID != 0 {
		if !p.alive() {
			return errors.New("the machine does not run")
		}
		c = p.enter(ctx, []string{"-n"}, "ip", "-batch", "-")
	}
	c.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

func appendTo(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
}
