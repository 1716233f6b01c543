package lab

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

const bridge = "br0"

// outsideLink is the name of the host's own interface into a lab: the kernel allows 15 letters.
func outsideLink(name string) string {
	return fmt.Sprintf("cblab-%x", sha256.Sum256([]byte(name)))[:14]
}

func port(node string) string { return "p-" + node }

// hardwareAddress is fixed for a node, so that the others still reach it after it was started again.
func (s *state) hardwareAddress(number int) string {
	a := host(s.Subnet, number).As4()
	return net.HardwareAddr{0x02, 0xcb, a[0], a[1], a[2], a[3]}.String()
}

// wireSwitch makes the bridge and the host's link to it.
func (s *state) wireSwitch(ctx context.Context) error {
	link := outsideLink(s.Name)
	if err := s.Switch.links(ctx,
		"link add "+bridge+" type bridge",
		fmt.Sprintf("addr add %s/24 dev %s", host(s.Subnet, switchHost), bridge),
		"link set "+bridge+" up",
	); err != nil {
		return fmt.Errorf("making the bridge: %w", err)
	}
	if err := (process{}).links(ctx, fmt.Sprintf("link add %s type veth peer name outside netns %d", link, s.Switch.PID)); err != nil {
		return fmt.Errorf("making the host's link: %w", err)
	}
	if err := s.Switch.links(ctx, "link set outside master "+bridge, "link set outside up"); err != nil {
		return fmt.Errorf("making the host's link: %w", err)
	}
	if err := (process{}).links(ctx, fmt.Sprintf("addr add %s/24 dev %s", host(s.Subnet, outsideHost), link),
		"link set "+link+" up"); err != nil {
		return fmt.Errorf("making the host's link: %w", err)
	}
	return nil
}

// unwire takes the host's link away; the kernel does the same, a little later, when the switch is gone.
func unwire(ctx context.Context, name string) error {
	link := outsideLink(name)
	if _, err := net.InterfaceByName(link); err != nil {
		return nil
	}
	err := (process{}).links(ctx, "link del "+link)
	if _, still := net.InterfaceByName(link); still != nil {
		return nil
	}
	return err
}

// wireNode connects a node's machine to the bridge.
func (s *state) wireNode(ctx context.Context, number int) error {
	n := s.Nodes[number-1]
	_ = s.Switch.links(ctx, "link del "+port(n.Name)) // of an earlier machine whose namespace the kernel has not taken away yet
	if err := s.Switch.links(ctx,
		fmt.Sprintf("link add %s type veth peer name eth0 address %s netns %d", port(n.Name), s.hardwareAddress(number), n.Init.PID),
		"link set "+port(n.Name)+" master "+bridge,
		"link set "+port(n.Name)+" up",
	); err != nil {
		return fmt.Errorf("connecting %s to the switch: %w", n.Name, err)
	}
	if err := n.Init.links(ctx,
		fmt.Sprintf("addr add %s/24 dev eth0", n.Address),
		"link set eth0 up",
		fmt.Sprintf("route add default via %s", host(s.Subnet, switchHost)),
	); err != nil {
		return fmt.Errorf("connecting %s to the switch: %w", n.Name, err)
	}
	return nil
}

// bootNode starts a node's machine and connects it. Its engine is started apart.
func (s *state) bootNode(ctx context.Context, number int) error {
	n := &s.Nodes[number-1]
	dir := filepath.Join(s.Dir, n.Name)
	faults := os.RemoveAll(filepath.Join(dir, "run")) // a machine that boots finds /run empty
	for _, folder := range []string{"run", "scratch", "docker"} {
		faults = errors.Join(faults, os.MkdirAll(filepath.Join(dir, folder), 0o755))
	}
	if faults != nil {
		return faults
	}
	// Nothing answers at this address, and says so at once: a name that no one knows costs no time.
	resolver := fmt.Sprintf("nameserver %s\noptions timeout:1 attempts:1\n", host(s.Subnet, switchHost))
	if err := os.WriteFile(filepath.Join(dir, "resolv.conf"), []byte(resolver), 0o644); err != nil {
		return err
	}
	init, err := startMachine(ctx, s.Name, n.Name, dir, "node")
	if err != nil {
		return err
	}
	n.Init = init
	if err := s.save(); err != nil {
		return err
	}
	return s.wireNode(ctx, number)
}
