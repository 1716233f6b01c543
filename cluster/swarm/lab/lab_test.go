package lab

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"coinbench/cluster"
)

func TestConfigNamesEveryFault(t *testing.T) {
	_, err := Config{Name: "Big Lab", Nodes: 100, Heartbeat: -1, Dir: "/a,b", Subnet: netip.MustParsePrefix("10.0.0.0/8")}.complete()
	if err == nil {
		t.Fatal("no fault")
	}
	for _, says := range []string{`"Big Lab"`, "1 to 99", "heartbeat", "a comma", "10.77.0.0/24"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%q is not in: %v", says, err)
		}
	}
	if _, err := (Config{Dir: "/" + strings.Repeat("x", 70)}).complete(); err == nil || !strings.Contains(err.Error(), "sockets") {
		t.Errorf("a long path: %v", err)
	}
}

func TestConfigZeroValue(t *testing.T) {
	c, err := Config{}.complete()
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "coinbench" || c.Nodes != 3 || c.Dir != "/var/lib/coinbench/lab/coinbench" || c.Dockerd != "dockerd" ||
		len(c.Registry) != 2 || c.Registry[1] != "registry" {
		t.Errorf("%+v", c)
	}
}

func TestCheckName(t *testing.T) {
	for name, good := range map[string]bool{"a": true, "lab-2": true, strings.Repeat("a", 32): true,
		"": false, "-a": false, "a-": false, "a/b": false, "..": false, "A": false, strings.Repeat("a", 33): false} {
		if err := checkName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestFreeSubnet(t *testing.T) {
	p := netip.MustParsePrefix
	for name, c := range map[string]struct {
		want netip.Prefix
		used []netip.Prefix
		get  string // "": an error
	}{
		"first":          {netip.Prefix{}, nil, "10.77.0.0/24"},
		"next":           {netip.Prefix{}, []netip.Prefix{p("10.77.0.0/24"), p("10.78.0.128/25")}, "10.79.0.0/24"},
		"none":           {netip.Prefix{}, []netip.Prefix{p("10.0.0.0/8")}, ""},
		"wanted":         {p("192.168.9.7/24"), []netip.Prefix{p("10.0.0.0/8")}, "192.168.9.0/24"},
		"wanted, in use": {p("192.168.9.0/24"), []netip.Prefix{p("192.168.0.0/16")}, ""},
	} {
		got, err := freeSubnet(c.want, c.used)
		if (err == nil) != (c.get != "") || err == nil && got.String() != c.get {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

// Whatever the subnet, all machines of a lab have addresses of their own in it.
func TestAddressesAreDistinct(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bytes := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address")
		subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte(bytes)), 24)
		seen := map[netip.Addr]bool{}
		for _, n := range []int{1, 2, mostNodes, outsideHost, switchHost} {
			a := host(subnet, n)
			if !subnet.Masked().Contains(a) || seen[a] {
				t.Fatalf("%s in %s", a, subnet)
			}
			seen[a] = true
		}
	})
}

func TestOutsideLinkFitsAndTellsLabsApart(t *testing.T) {
	a, b := outsideLink("a"), outsideLink("b")
	if a == b || len(a) > 15 || !strings.HasPrefix(a, "cblab-") {
		t.Errorf("%q %q", a, b)
	}
}

func TestAFolderThatNoLabMadeIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	theirs := filepath.Join(dir, "theirs")
	if err := os.WriteFile(theirs, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := claim(dir, "lab"); err == nil || !strings.Contains(err.Error(), "no lab made it") {
		t.Errorf("claim: %v", err)
	}
	if err := removeTree(dir, "lab"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(theirs); err != nil {
		t.Error("it is gone")
	}
}

func TestAFolderBelongsToOneLab(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	if err := claim(dir, "one"); err != nil {
		t.Fatal(err)
	}
	if err := claim(dir, "two"); err == nil || !strings.Contains(err.Error(), "the lab one") {
		t.Errorf("another lab's claim: %v", err)
	}
	if err := claim(dir, "one"); err != nil {
		t.Errorf("what the lab itself left behind: %v", err)
	}
	if runtime.GOOS != "linux" {
		return
	}
	if err := removeTree(dir, "two"); err != nil {
		t.Error(err)
	}
	if owner(dir) != "one" {
		t.Error("another lab removed it")
	}
	if err := removeTree(dir, "one"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

func TestKillEndsOneProcessAndNoOther(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("not run: processes as Linux lists them")
	}
	c := exec.Command("sleep", "60")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	p, err := identify(c.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	earlier := process{p.PID, p.Start - 1} // had the number before
	if earlier.alive() || (process{}).alive() {
		t.Error("a process that is gone is taken for one that runs")
	}
	if err := errors.Join(earlier.kill(t.Context()), (process{}).kill(t.Context())); err != nil {
		t.Error(err)
	}
	if !p.alive() {
		t.Fatal("the wrong process was killed")
	}
	if err := p.kill(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil || p.alive() {
		t.Errorf("it was not killed: %v", err)
	}
}

func TestPauseEndsWithItsContext(t *testing.T) {
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if err := (cluster.RealTime{}).Sleep(ctx, 1<<40); !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
}

func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	os.WriteFile(path, []byte("a\nb\nc\n"), 0o600)
	if got := tail(path, 2); got != "b\nc" {
		t.Errorf("%q", got)
	}
	if got := tail(path, 9); got != "a\nb\nc" {
		t.Errorf("%q", got)
	}
}
