package lab

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"coinbench/cluster/swarm/images"
)

const (
	// DefaultName is the name of a lab that is given none.
	DefaultName = "coinbench"

	stateRoot = "/run/coinbench/lab"     // state files and locks, at a fixed place so that they are found again
	dataRoot  = "/var/lib/coinbench/lab" // data folders, unless Config says otherwise
	mostNodes = 99

	registryPort = 5000
	switchHost   = 254 // last number of the switch's address
	outsideHost  = 253 // and of the host's own
)

// Config says what lab to make. The zero value makes one of three nodes.
type Config struct {
	Name      string        // tells labs apart; lower-case letters, digits and dashes; "": DefaultName
	Nodes     int           // 1 to 99; 0: 3
	Subnet    netip.Prefix  // a /24; zero: the first of 10.77.0.0/24, 10.78.0.0/24 ... that nothing on this machine uses
	Dir       string        // a folder of its own for data and logs; "": below /var/lib/coinbench/lab
	Dockerd   string        // "": dockerd
	Heartbeat time.Duration // between nodes and manager; a node is down after three missed ones; 0: the engine's own 5 s

	// Registry is the command that serves a registry; the lab adds --listen HOST:PORT and --data DIR. Nil: the running
	// executable with the argument registry.
	Registry []string

	// RegistryDir is the folder of the registry's images: one that holds some already saves building them. "": a new one below
	// Dir. It stays when the lab is taken down.
	RegistryDir string

	// Images are pushed to the registry under their names.
	Images images.Set

	// Progress is told what is being done, in a few words. May be nil.
	Progress func(string)
}

// Validate says what is wrong with the configuration; all faults at once.
func (c Config) Validate() error {
	_, err := c.complete()
	return err
}

// complete returns the configuration with its defaults, or every fault of it.
func (c Config) complete() (Config, error) {
	c.Name = cmp.Or(c.Name, DefaultName)
	c.Nodes = cmp.Or(c.Nodes, 3)
	c.Dir = cmp.Or(c.Dir, filepath.Join(dataRoot, c.Name))
	c.Dockerd = cmp.Or(c.Dockerd, "dockerd")
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	var faults []error
	if err := checkName(c.Name); err != nil {
		faults = append(faults, err)
	}
	if c.Nodes < 1 || c.Nodes > mostNodes {
		faults = append(faults, fmt.Errorf("%d nodes; accepted: 1 to %d", c.Nodes, mostNodes))
	}
	if c.Heartbeat < 0 {
		faults = append(faults, fmt.Errorf("a heartbeat of %s; accepted: 0s (the engine's own) or more", c.Heartbeat))
	}
	switch abs, err := filepath.Abs(c.Dir); {
	case err != nil:
		faults = append(faults, err)
	case len(abs) > 70: // a unix socket's path below it may have 107 bytes
		faults = append(faults, fmt.Errorf("the folder %s has a path longer than 70 bytes, too long for the sockets below it", abs))
	case strings.ContainsAny(abs, ",:\\\n"):
		faults = append(faults, fmt.Errorf("the folder %q has a comma, a colon or a backslash in its path, which mounts cannot have", abs))
	default:
		c.Dir = abs
	}
	if c.Subnet.IsValid() && (!c.Subnet.Addr().Is4() || c.Subnet.Bits() != 24) {
		faults = append(faults, fmt.Errorf("the subnet %s; accepted: an IPv4 network of 24 bits such as 10.77.0.0/24", c.Subnet))
	}
	if c.RegistryDir != "" {
		abs, err := filepath.Abs(c.RegistryDir)
		if err != nil {
			faults = append(faults, err)
		}
		c.RegistryDir = abs
	}
	if c.Registry == nil {
		self, err := os.Executable()
		if err != nil {
			faults = append(faults, err)
		}
		c.Registry = []string{self, "registry"}
	}
	return c, errors.Join(faults...)
}

func checkName(name string) error {
	if !regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`).MatchString(name) {
		return fmt.Errorf("the name %q; accepted: up to 32 lower-case letters, digits and dashes inside", name)
	}
	return nil
}

// freeSubnet returns the wanted network if nothing on this machine overlaps with it, or, for the zero value, the first
// such of 10.77.0.0/24, 10.78.0.0/24 and so on.
func freeSubnet(want netip.Prefix, used []netip.Prefix) (netip.Prefix, error) {
	taken := func(p netip.Prefix) (netip.Prefix, bool) {
		for _, u := range used {
			if u.Overlaps(p) {
				return u, true
			}
		}
		return netip.Prefix{}, false
	}
	if want.IsValid() {
		if by, yes := taken(want.Masked()); yes {
			return netip.Prefix{}, fmt.Errorf("the subnet %s overlaps with %s, which an interface of this machine or another lab has: choose "+
				"another", want, by)
		}
		return want.Masked(), nil
	}
	for second := byte(77); second < 177; second++ {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, second, 0, 0}), 24)
		if _, yes := taken(p); !yes {
			return p, nil
		}
	}
	return netip.Prefix{}, errors.New("no free subnet from 10.77.0.0/24 to 10.176.0.0/24: choose one")
}

// usedSubnets are the networks of this machine's interfaces.
func usedSubnets() ([]netip.Prefix, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var used []netip.Prefix
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			used = append(used, p.Masked())
		}
	}
	return used, nil
}

// host returns the address with a last number in a /24.
func host(subnet netip.Prefix, number int) netip.Addr {
	a := subnet.Masked().Addr().As4()
	a[3] = byte(number)
	return netip.AddrFrom4(a)
}
