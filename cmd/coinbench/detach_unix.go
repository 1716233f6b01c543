//go:build unix

package main

import "syscall"

// ownGroup takes a process away from the terminal's Ctrl-C, but leaves it in the session.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// ownSession takes a process away from the terminal: neither its Ctrl-C nor its end reaches it.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
