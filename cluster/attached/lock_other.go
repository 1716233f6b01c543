//go:build !unix

package attached

import (
	"errors"
	"os"
)

// tryLock says that this system knows no locks that end with their process.
func tryLock(*os.File) error {
	return errors.New("an app that other commands reach needs Linux or another Unix; leave out -d")
}

func private(folder string) error {
	_, err := os.Lstat(folder)
	return err
}
