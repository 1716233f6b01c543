//go:build !linux

package lab

import (
	"errors"
	"os/exec"
)

const supported = false

func detach(*exec.Cmd)            {}
func detachAsInit(*exec.Cmd)      {}
func sendKill(int) error          { return errors.ErrUnsupported }
func sendTerm(int) error          { return errors.ErrUnsupported }
func lock(string) (func(), error) { return nil, errors.ErrUnsupported }
func lockAll() (func(), error)    { return nil, errors.ErrUnsupported }
func unmountBelow(string) error   { return errors.ErrUnsupported }
func isRoot() bool                { return false }
