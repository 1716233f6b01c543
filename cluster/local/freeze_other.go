//go:build !unix

package local

import (
	"errors"
	"os"
)

func freeze(*os.Process, bool) error { return errors.New("this system cannot freeze a process") }
