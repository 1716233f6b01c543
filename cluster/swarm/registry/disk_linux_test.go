package registry

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sys/unix"
)

// A disk that is full fails the push with its reason, leaves no part of it, and does no harm to what was there.
func TestAPushToAFullDiskFailsWithItsReason(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not run: mounting a small disk needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("not run: mounting a small disk: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	s := open(t, dir)
	small, err := random.Image(1024, 1)
	if err != nil {
		t.Fatal(err)
	}
	large, err := random.Image(1<<20, 1)
	if err != nil {
		t.Fatal(err)
	}
	never := remote.WithRetryPredicate(func(error) bool { return false })
	once := remote.WithRetryStatusCodes(http.StatusTooManyRequests)
	if err := remote.Write(reference(t, s, "x:small"), small, never, once); err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference(t, s, "x:large"), large, never, once); err == nil || !strings.Contains(err.Error(),
		"no space left on device") {
		t.Errorf("%v", err)
	}
	if err := remote.Write(reference(t, s, "x:small-again"), small, never, once); err != nil {
		t.Errorf("after the failure there is no room for a small one: %v", err)
	}
}
