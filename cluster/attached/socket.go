package attached

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// ErrUp is what Listen fails with where another process keeps an app up.
var ErrUp = errors.New("another process keeps an app up")

// ErrDown is what Open fails with where no process does.
var ErrDown = errors.New("no app is up on this machine")

// socketName is the socket's name in its folder.
const socketName = "app.sock"

// Folder is where a user's socket belongs: in the runtime folder, if that is a folder of the user's own, or else below the folder of
// temporary files, under a name that no other user has.
func Folder(runtime, temporary string, user int) string {
	if filepath.IsAbs(runtime) && private(runtime) == nil {
		return filepath.Join(runtime, "coinbench")
	}
	return filepath.Join(temporary, "coinbench-"+strconv.Itoa(user))
}

// Listener is the socket of the one process that keeps an app up.
type Listener struct {
	net.Listener
	folder string
	lock   *os.File
	once   sync.Once
	closed error
}

// Listen makes the folder and the socket, having removed a socket that a process left that was killed. The error is ErrUp where there is
// a process already.
func Listen(folder string) (*Listener, error) {
	lock, err := hold(folder, true)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(folder, socketName)
	var l net.Listener
	if err = remove(path); err == nil {
		l, err = net.Listen("unix", path)
	}
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if errors.Is(err, syscall.EINVAL) {
		err = fmt.Errorf("%w: the name of a socket can have about 100 bytes; set XDG_RUNTIME_DIR or TMPDIR to a shorter one", err)
	}
	if err != nil {
		if l != nil {
			l.Close()
		}
		release(folder, lock)
		return nil, fmt.Errorf("make the socket %s: %w", path, err)
	}
	return &Listener{Listener: l, folder: folder, lock: lock}, nil
}

// Close closes the socket, removes it and its folder, and lets another process be the one.
func (l *Listener) Close() error {
	l.once.Do(func() {
		l.closed = l.Listener.Close() // which removes the socket
		release(l.folder, l.lock)
	})
	return l.closed
}

// hold takes the folder's lock; create: having made the folder.
func hold(folder string, create bool) (*os.File, error) {
	for {
		if create {
			if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
				return nil, fmt.Errorf("make the folder of the socket: %w; set XDG_RUNTIME_DIR or TMPDIR to a folder that can be written", err)
			}
		}
		if err := private(folder); err != nil {
			if create && errors.Is(err, fs.ErrNotExist) { // its last owner removed it just now
				continue
			}
			return nil, err
		}
		lock, err := os.Open(folder)
		if err != nil {
			if create && errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return nil, fmt.Errorf("open the folder of the socket: %w", err)
		}
		if err := tryLock(lock); err != nil {
			lock.Close()
			return nil, err
		}
		held, err := lock.Stat()
		if err == nil {
			if now, e := os.Lstat(folder); e == nil && os.SameFile(held, now) {
				return lock, nil
			}
		}
		lock.Close()
		if !create {
			return nil, ErrDown
		}
	}
}

// release gives the lock up. The folder goes if nothing is in it.
func release(folder string, lock *os.File) {
	_ = os.Remove(folder)
	lock.Close()
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// dial connects to the process that keeps an app up. Where there is none the error is ErrDown, and a stale socket is removed.
func dial(ctx context.Context, folder string) (net.Conn, error) {
	if err := private(folder); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, ErrDown
		}
		return nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(folder, socketName))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		lock, held := hold(folder, false)
		if held != nil {
			return nil, held // ErrUp: it begins, or ends
		}
		defer release(folder, lock)
		if err := remove(filepath.Join(folder, socketName)); err != nil {
			return nil, fmt.Errorf("remove a stale socket: %w", err)
		}
		return nil, ErrDown
	}
	return conn, err
}
