//go:build unix

package attached

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// tryLock locks an open folder until it is closed, which the end of the process does as well.
func tryLock(folder *os.File) error {
	err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrUp
	}
	if err != nil {
		return fmt.Errorf("lock the folder %s: %w", folder.Name(), err)
	}
	return nil
}

// private says why a folder is not one that this user alone may enter.
func private(folder string) error {
	info, err := os.Lstat(folder)
	if err != nil {
		return fmt.Errorf("look at the folder of the socket: %w", err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); !info.IsDir() || info.Mode().Perm()&0o077 != 0 || ok && int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("%s is not a private folder of yours; remove it, or set XDG_RUNTIME_DIR to one that is", folder)
	}
	return nil
}
