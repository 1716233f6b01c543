package lab

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const supported = true

// detach makes a command outlive this program: a session of its own, and signals for this program do not reach it.
func detach(c *exec.Cmd) { c.SysProcAttr = &unix.SysProcAttr{Setsid: true} }

// detachAsInit makes it also the first process of new namespaces.
func detachAsInit(c *exec.Cmd) {
	detach(c)
	c.SysProcAttr.Cloneflags = unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC
}

func sendKill(pid int) error { return send(pid, unix.SIGKILL) }
func sendTerm(pid int) error { return send(pid, unix.SIGTERM) }

func send(pid int, s unix.Signal) error {
	if err := unix.Kill(pid, s); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// lock takes a lab for this program, so that two of them do not make and remove it at the same time.
func lock(name string) (release func(), err error) {
	if err := os.MkdirAll(stateRoot, 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(stateRoot, name+".lock")
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			return nil, fmt.Errorf("the lab %s is being worked on by another program (%s is locked): wait for it", name, path)
		}
		held, herr := f.Stat()
		there, terr := os.Stat(path)
		if herr == nil && terr == nil && os.SameFile(held, there) {
			return func() {
				os.Remove(path)
				f.Close()
				os.Remove(stateRoot) // these two stay if anything is in them
				os.Remove(filepath.Dir(stateRoot))
			}, nil
		}
		f.Close() // the holder before us has removed it
	}
}

// lockAll keeps other programs from choosing something for a lab, until it is released. The caller holds the lock of a lab.
func lockAll() (release func(), err error) {
	f, err := os.Open(stateRoot)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", stateRoot, err)
	}
	return func() { f.Close() }, nil
}

// unmountBelow takes away mounts below a folder that were left in the host's own namespace, the deepest first.
func unmountBelow(dir string) error {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	defer f.Close()
	var below []string
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			below = append(below, strings.ReplaceAll(fields[4], `\040`, " "))
		}
	}
	for _, path := range slices.Backward(below) {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmounting %s: %w", path, err)
		}
	}
	return nil
}

func isRoot() bool { return os.Geteuid() == 0 }
