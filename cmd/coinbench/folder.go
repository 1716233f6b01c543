package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"coinbench/cluster"
	"coinbench/history"
	"coinbench/live"
	"coinbench/scenarios"
)

// runFolder is where a run is recorded.
type runFolder struct {
	dir string
	own bool // it was made here, under a name of our own

	metrics *metricsServer // which is to serve the run; nil: none is
	// called when the record begins, returns what follows it already, if anything does; nil: it is not
	recording func(cluster.Cluster) *live.Feed
	session   *scenarios.Session // which gives the run's steps; nil: the scenario does
}

// newRunFolder makes the folder runs/NAME/TIME. Runs of the same second have a number behind it: 20261128T090000Z-2.
func newRunFolder(name string, now time.Time) (runFolder, error) {
	parent := filepath.Join("runs", name)
	base := filepath.Join(parent, now.UTC().Format(stampFormat))
	for dir, n := base, 2; ; dir, n = fmt.Sprintf("%s-%d", base, n), n+1 {
		err := os.MkdirAll(parent, 0o755)
		if err == nil {
			err = os.Mkdir(dir, 0o755)
		}
		switch {
		case err == nil:
			return runFolder{dir: dir, own: true}, nil
		case errors.Is(err, fs.ErrExist) && isFolder(parent), errors.Is(err, fs.ErrNotExist): // taken, or another run gave its own up just now
		default:
			return runFolder{}, withCode(folderCode(err), fmt.Errorf("make the run's folder: %w: choose another with --out", err))
		}
	}
}

// folder is where the user wants the run, or one of our own.
func folder(out, name string) (runFolder, error) {
	if out != "" {
		return runFolder{dir: out}, nil
	}
	return newRunFolder(name, time.Now())
}

// giveUp removes a folder in which nothing was recorded, and those above it that it leaves empty.
func (f runFolder) giveUp() {
	if !f.own {
		return
	}
	for _, dir := range []string{f.dir, filepath.Dir(f.dir), filepath.Dir(filepath.Dir(f.dir))} {
		if os.Remove(dir) != nil { // it is not empty
			return
		}
	}
}

// link makes runs/SCENARIO/latest point at the run, where links can be made.
func (f runFolder) link() {
	if !f.own {
		return
	}
	latest := filepath.Join(filepath.Dir(f.dir), "latest")
	if info, err := os.Lstat(latest); err == nil && info.Mode()&os.ModeSymlink == 0 {
		return // somebody's own
	}
	fresh := f.dir + ".link"
	if os.Symlink(filepath.Base(f.dir), fresh) == nil && os.Rename(fresh, latest) != nil { // in one step, for runs that begin at the same time
		_ = os.Remove(fresh)
	}
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// folderCode is the exit code for a folder that cannot be used: it was the wrong one to name, unless the disk failed.
func folderCode(err error) int {
	for _, wrong := range []error{fs.ErrExist, fs.ErrNotExist, fs.ErrPermission, syscall.EROFS, syscall.ENOTDIR, history.ErrNotEmpty} {
		if errors.Is(err, wrong) {
			return exitUsage
		}
	}
	return exitUnmeasured
}

// withRoom says what to do about a record that filled its disk; another error is as it was.
func withRoom(err error, dir string) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w: make room, then: coinbench report %s", err, dir)
	}
	return err
}
