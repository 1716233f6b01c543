//go:build unix

package main

import "syscall"

// ownSession takes a process away from the terminal: neither its Ctrl-C nor its end reaches it.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
