package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"coinbench/capacity/gate"
)

// gateStore is the file of one series.
type gateStore struct{ path string }

// openStore names the file of a series; it is made with its first line.
func openStore(dir, series string) (*gateStore, error) {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("--store %s: accepted: a folder", dir)
	}
	return &gateStore{filepath.Join(dir, series+".jsonl")}, nil
}

// read reads the series, which is empty at first.
func (s *gateStore) read() (gate.Series, error) {
	f, err := os.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return gate.Series{}, nil
	}
	if err != nil {
		return gate.Series{}, unmeasured(fmt.Errorf("read the store: %w", err))
	}
	defer f.Close()
	series, err := gate.ReadSeries(f)
	return series, unmeasured(err)
}

// append adds a line, in one write, and has the disk keep it. Where a process was killed in the middle of a line, a new one begins first.
func (s *gateStore) append(l gate.Line) error {
	line, err := l.Encode()
	if err != nil {
		return unmeasured(err)
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o755); err != nil {
		return withCode(folderCode(err), fmt.Errorf("make the store: %w: choose another with --store", err))
	}
	if err := s.attribute(); err != nil {
		return unmeasured(err)
	}
	return appendWhole(s.path, line)
}

// appendWhole adds whole lines to a file and has the disk keep them.
func appendWhole(path string, lines []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return withCode(folderCode(err), fmt.Errorf("open the store: %w: choose another with --store", err))
	}
	if size, err := f.Seek(0, io.SeekEnd); err == nil && size > 0 {
		var last [1]byte
		if _, err := f.ReadAt(last[:], size-1); err == nil && last[0] != '\n' {
			lines = append([]byte{'\n'}, lines...)
		}
	}
	_, err = f.Write(lines)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return unmeasured(fmt.Errorf("write to the store: %w: make room; the same command goes on", err))
	}
	return nil
}

// attribute has git merge the lines of two clones.
func (s *gateStore) attribute() error {
	f, err := os.OpenFile(filepath.Join(filepath.Dir(s.path), ".gitattributes"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		_, err = f.WriteString("*.jsonl merge=union\n")
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("write to the store: %w", err)
	}
	return nil
}

// sessionID names a session: by its instant, and by chance, since clones share a store.
func sessionID() string {
	var chance [2]byte
	_, _ = rand.Read(chance[:]) // it does not fail
	return time.Now().UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(chance[:])
}
