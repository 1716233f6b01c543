// Package labtest gives tests a real Swarm of several nodes, and says so where there can be none.
//
// A package that uses Up needs a TestMain that calls Main: the lab's registry is the test program itself.
package labtest

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"coinbench/cluster/swarm/images"
	"coinbench/cluster/swarm/lab"
	"coinbench/cluster/swarm/registry"
	"coinbench/services/settings"
)

// The environment variables that tests look at.
const (
	Gate           = "COINBENCH_GATE"   // 1: labs are made, and a test that cannot run fails
	BinaryVariable = "COINBENCH_BINARY" // path of a static binary, to save building one
)

// RegistryArgument, in front of the lab's own, makes a program whose TestMain calls Main a registry.
const RegistryArgument = "lab-registry"

const downTimeout = time.Minute

// Require skips the test unless COINBENCH_GATE=1: a lab makes network namespaces as root, which is not done unasked. Asked for, a
// machine that cannot make one fails the test.
func Require(t testing.TB) {
	t.Helper()
	if os.Getenv(Gate) != "1" {
		t.Skipf("not run on a real Swarm: it makes network namespaces as root; set %s=1", Gate)
	}
	if err := lab.Check(); err != nil {
		t.Fatalf("the gate needs a real Swarm: %v", err)
	}
}

// Main runs the tests of a package and takes its shared labs down, or is, in a process that a lab started, its registry:
// func TestMain(m *testing.M) { os.Exit(labtest.Main(m)) }.
func Main(m interface{ Run() int }, labs ...*Shared) int {
	if len(os.Args) < 2 || os.Args[1] != RegistryArgument {
		code := m.Run()
		for _, s := range labs {
			if err := s.down(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = max(code, 1)
			}
		}
		return code
	}
	flags := flag.NewFlagSet(RegistryArgument, flag.ExitOnError)
	listen := flags.String("listen", "", "")
	data := flags.String("data", "", "")
	flags.Parse(os.Args[2:])
	l, err := net.Listen("tcp", *listen)
	if err == nil {
		err = registry.Serve(context.Background(), l, *data)
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// Shared is a lab of all tests of a package: the first that asks for it makes it, Main removes it.
type Shared struct {
	Config lab.Config // without images
	Tags   []string   // of the images in its registry

	once sync.Once
	lab  *lab.Lab
	err  error
}

// Lab returns the lab. It calls Require.
func (s *Shared) Lab(t testing.TB) *lab.Lab {
	t.Helper()
	Require(t)
	s.once.Do(func() {
		s.Config.Images = Images(t, s.Tags...)
		if s.err = lab.Down(t.Context(), s.Config.Name); s.err != nil { // what an earlier run of the tests left
			return
		}
		if s.Config.Registry == nil {
			s.Config.Registry = ownRegistry(t)
		}
		s.lab, s.err = lab.Up(context.WithoutCancel(t.Context()), s.Config)
		s.Config.Images = nil // the registry has them
	})
	if s.err != nil || s.lab == nil {
		t.Fatalf("the lab of this package: %v", s.err)
	}
	return s.lab
}

func (s *Shared) down() error {
	if s.lab == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), downTimeout)
	defer cancel()
	return lab.Down(ctx, s.Config.Name)
}

// ownRegistry is the command by which a lab makes this test program its registry.
func ownRegistry(t testing.TB) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{self, RegistryArgument}
}

// Up makes a lab and takes it down when the test ends. What an earlier run of the test left is removed first. It calls
// Require.
func Up(t testing.TB, c lab.Config) *lab.Lab {
	t.Helper()
	Require(t)
	if c.Registry == nil {
		c.Registry = ownRegistry(t)
	}
	down := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), downTimeout)
		defer cancel()
		if err := lab.Down(ctx, c.Name); err != nil {
			t.Error(err)
		}
	}
	down()
	l, err := lab.Up(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, path := range l.Logs() {
				data, _ := os.ReadFile(path)
				t.Logf("the end of %s:\n%s", path, data[max(0, len(data)-2000):])
			}
		}
		down()
	})
	return l
}

// Binary returns a static binary of this program for images: the one that COINBENCH_BINARY names, or one that the go
// tool builds now.
func Binary(t testing.TB) []byte {
	t.Helper()
	if path := os.Getenv(BinaryVariable); path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("%s: %v", BinaryVariable, err)
		}
		return data
	}
	data, err := images.Binary(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Program returns the path of the binary of Binary.
func Program(t testing.TB) string {
	t.Helper()
	if path := os.Getenv(BinaryVariable); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "coinbench")
	if err := os.WriteFile(path, Binary(t), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// Images returns the images of the app with each of the tags, Redis from this machine among them.
func Images(t testing.TB, tags ...string) images.Set {
	t.Helper()
	set, err := images.BuildAll(images.Options{Binary: Binary(t)}, append(settings.Services(), ""), tags...)
	if err != nil {
		t.Fatal(err)
	}
	if set[images.RedisName], err = images.Redis(""); err != nil {
		t.Fatal(err)
	}
	return set
}
