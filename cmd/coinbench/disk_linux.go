package main

import "golang.org/x/sys/unix"

// freeBytes is the free room of the disk that holds a path; 0: not known.
func freeBytes(path string) uint64 {
	var s unix.Statfs_t
	if unix.Statfs(path, &s) != nil {
		return 0
	}
	return s.Bavail * uint64(s.Bsize)
}
