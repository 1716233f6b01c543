//go:build unix && !linux

package local

import "syscall"

// attributes give a replica a process group of its own, so that the terminal's Ctrl-C does not reach it.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
