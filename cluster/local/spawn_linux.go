package local

import "syscall"

// attributes give a replica a process group of its own, so that the terminal's Ctrl-C does not reach it, and let the kernel
// kill it when this process is gone: the pipe does not reach a replica that is stopped by SIGSTOP.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
