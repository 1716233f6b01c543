package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// state is what is recorded before and after each thing that is made, so that it can be found and removed again.
type state struct {
	Name    string       `json:"name"`
	Boot    string       `json:"boot"` // of the kernel; processes of another boot are gone
	Dir     string       `json:"dir"`
	Subnet  netip.Prefix `json:"subnet"`
	Dockerd string       `json:"dockerd"`
	Switch  process      `json:"switch"`
	Nodes   []nodeState  `json:"nodes"`
}

type nodeState struct {
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"`
	Init    process    `json:"init"`
}

func statePath(name string) string { return filepath.Join(stateRoot, name+".json") }

// marker is a file in Dir that holds the name of the lab that made it.
func marker(dir string) string { return filepath.Join(dir, ".coinbench-lab") }

// owner returns the name of the lab that made a folder, or "".
func owner(dir string) string {
	data, _ := os.ReadFile(marker(dir))
	return strings.TrimSpace(string(data))
}

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

// reserve chooses the subnet and writes the state down, so that a lab that is made at the same time chooses another.
func (s *state) reserve(c Config) error {
	release, err := lockAll()
	if err != nil {
		return err
	}
	defer release()
	used, err := usedSubnets()
	if err != nil {
		return err
	}
	paths, err := filepath.Glob(statePath("*"))
	if err != nil {
		return err
	}
	for _, path := range paths { // of labs that have no interface yet, too
		other, err := readState(strings.TrimSuffix(filepath.Base(path), ".json"))
		if err == nil && other != nil {
			used = append(used, other.Subnet)
		}
	}
	subnet, serr := freeSubnet(c.Subnet, used)
	boot, berr := bootID()
	if err := errors.Join(serr, berr); err != nil {
		return err
	}
	s.Subnet, s.Boot = subnet, boot
	for i := 1; i <= c.Nodes; i++ {
		s.Nodes = append(s.Nodes, nodeState{Name: fmt.Sprintf("node%d", i), Address: host(subnet, i)})
	}
	return s.save()
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

// claim makes Dir the lab's own: a new folder, an empty one, or one that an earlier lab of the name left behind.
func claim(dir, name string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		switch owner(dir) {
		case name:
		case "":
			return fmt.Errorf("the folder %s is not empty and no lab made it: choose another", dir)
		default:
			return fmt.Errorf("the folder %s is that of the lab %s: choose another", dir, owner(dir))
		}
		if err := removeTree(dir, name); err != nil {
			return err
		}
	}
	if filepath.Dir(dir) == dataRoot {
		if err := os.MkdirAll(dataRoot, 0o755); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.WriteFile(marker(dir), []byte(name+"\n"), 0o600)
}

// removeTree removes a folder that a lab of a name made; any other is left alone.
func removeTree(dir, name string) error {
	if owner(dir) != name {
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
