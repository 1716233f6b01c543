package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
)

// state is what is written down before and after each thing that is made, so that it can be found and removed again.
type state struct {
	Name    string       `json:"name"`
	Boot    string       `json:"boot"` // of the kernel; processes of another boot are gone
	Dir     string       `json:"dir"`
	Subnet  netip.Prefix `json:"subnet"`
	Dockerd string       `json:"dockerd"`
	Made    []string     `json:"made,omitempty"` // folders outside Dir, empty ones, to be removed if they still are
	Switch  process      `json:"switch"`
	Nodes   []nodeState  `json:"nodes"`
}

type nodeState struct {
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"`
	Init    process    `json:"init"`
}

func statePath(name string) string { return filepath.Join(stateRoot, name+".json") }

// marker is a file in Dir that says that a lab made it.
func marker(dir string) string { return filepath.Join(dir, ".coinbench-lab") }

func (s *state) save() error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	tmp := statePath(s.Name) + ".new"
	if err := os.WriteFile(tmp, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, statePath(s.Name))
}

// readState returns nil if there is none.
func readState(name string) (*state, error) {
	data, err := os.ReadFile(statePath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := new(state)
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("%s: %w", statePath(name), err)
	}
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	if s.Boot != boot {
		s.Switch = process{}
		for i := range s.Nodes {
			s.Nodes[i].Init = process{}
		}
	}
	return s, nil
}

// claim makes Dir the lab's own: a new folder, an empty one, or one that a lab left behind.
func claim(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		if _, err := os.Stat(marker(dir)); err != nil {
			return fmt.Errorf("the folder %s is not empty and no lab made it: choose another", dir)
		}
		if err := removeTree(dir); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(marker(dir), []byte("A lab of coinbench keeps its data here, and removes the folder with everything in it.\n"), 0o600)
}

// removeTree removes a folder that a lab made; any other is left alone.
func removeTree(dir string) error {
	if _, err := os.Stat(marker(dir)); err != nil {
		return nil
	}
	if err := unmountBelow(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries { // the marker last, so that a removal that was cut short can be taken up again
		if p := filepath.Join(dir, e.Name()); p != marker(dir) {
			if err := os.RemoveAll(p); err != nil {
				return err
			}
		}
	}
	return os.RemoveAll(dir)
}

// makeFolder makes a folder outside Dir if it is not there, and takes a note of those that it made, the deepest last.
func (s *state) makeFolder(path string) error {
	var missing []string
	for p := path; ; p = filepath.Dir(p) {
		if _, err := os.Stat(p); err == nil {
			break
		}
		missing = append([]string{p}, missing...)
	}
	s.Made = append(s.Made, missing...)
	if err := s.save(); err != nil {
		return err
	}
	return os.MkdirAll(path, 0o755)
}
