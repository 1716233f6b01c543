package registry

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"go.uber.org/goleak"
)

func reference(t *testing.T, server *httptest.Server, ref string) name.Reference {
	t.Helper()
	r, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://")+"/"+ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func open(t *testing.T, dir string) *httptest.Server {
	t.Helper()
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	return s
}

func TestWhatWasPushedIsThereAfterARestart(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	img, err := random.Image(1024, 3)
	if err != nil {
		t.Fatal(err)
	}
	index, err := random.Index(512, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference(t, first, "coinbench/rng:v0.1"), img); err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(reference(t, first, "a/deeper/name:multi"), index); err != nil {
		t.Fatal(err)
	}
	gone := reference(t, first, "coinbench/rng:gone")
	if err := remote.Tag(gone.(name.Tag), img); err != nil {
		t.Fatal(err)
	}
	if err := remote.Delete(gone); err != nil {
		t.Fatal(err)
	}
	first.Close()

	second := open(t, dir)
	pulled, err := remote.Image(reference(t, second, "coinbench/rng:v0.1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(pulled); err != nil {
		t.Error(err)
	}
	if got, want := digest(t, pulled), digest(t, img); got != want {
		t.Errorf("pulled %s, pushed %s", got, want)
	}
	if _, err := remote.Image(reference(t, second, "coinbench/rng@"+digest(t, img).String())); err != nil {
		t.Errorf("by digest: %v", err)
	}
	pulledIndex, err := remote.Index(reference(t, second, "a/deeper/name:multi"))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(pulledIndex); err != nil {
		t.Error(err)
	}
	if _, err := remote.Head(reference(t, second, "coinbench/rng:gone")); err == nil {
		t.Error("the deleted tag is back")
	}
}

func digest(t *testing.T, img v1.Image) v1.Hash {
	t.Helper()
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestAHalfWrittenBlobIsSweptAndNeverServed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	h := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("ab", 32)}
	resp, err := http.Post(s.URL+"/v2/x/blobs/uploads/?digest="+h.String(), "application/octet-stream", strings.NewReader("something else"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a blob with a wrong digest is answered %s", resp.Status)
	}
	if files, _ := os.ReadDir(filepath.Join(dir, "blobs")); len(files) != 0 {
		t.Errorf("left behind: %v", files)
	}
	half := filepath.Join(dir, "blobs", uploadPrefix+"1")
	if err := os.WriteFile(half, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if _, err := os.Stat(half); err == nil {
		t.Error("the half-written blob of a killed registry stayed")
	}
}

func TestAManifestThatCannotBeStoredIsNotAcknowledged(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	// A file in the place of the folder fails every write, for root too.
	manifests := filepath.Join(dir, "manifests")
	if err := os.RemoveAll(manifests); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(manifests, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference(t, s, "x:y"), img, remote.WithRetryPredicate(func(error) bool { return false })); err == nil {
		t.Error("a push was acknowledged that would be lost at the next start")
	}
}

func TestAFullDiskIsSaid(t *testing.T) {
	rec := httptest.NewRecorder()
	fail(rec, &os.PathError{Op: "write", Path: "f", Err: syscall.ENOSPC})
	if rec.Code != http.StatusInsufficientStorage || !strings.Contains(rec.Body.String(), "free some space") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestADamagedManifestIsAnErrorThatSaysWhatToDo(t *testing.T) {
	index := `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":1,"digest":"sha256:` +
		strings.Repeat("0", 64) + `"}]}`
	lost, err := json.Marshal(record{"x", "y", "application/vnd.oci.image.index.v1+json", []byte(index)})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"no JSON": "{", "an index without its images": string(lost)} {
		dir := t.TempDir()
		os.Mkdir(filepath.Join(dir, "manifests"), 0o755)
		os.WriteFile(filepath.Join(dir, "manifests", "a.json"), []byte(content), 0o600)
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", name, err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o600)
	if _, err := Open(file); err == nil || !strings.Contains(err.Error(), "data folder") {
		t.Errorf("a file for a folder: %v", err)
	}
}

func TestManifestPath(t *testing.T) {
	for path, want := range map[string][2]string{
		"/v2/rng/manifests/v1":                   {"rng", "v1"},
		"/v2/a/b/c/manifests/sha256:00":          {"a/b/c", "sha256:00"},
		"/v2/manifests/manifests/v1":             {"manifests", "v1"},
		"/v2/manifests/v1":                       {},
		"/v2/rng/manifests/":                     {},
		"/v2/rng/blobs/sha256:00":                {},
		"/other/rng/manifests/v1":                {},
		"/v2/rng/manifests/v1/further/something": {},
	} {
		repository, ref, ok := manifestPath(path)
		if ok != (want != [2]string{}) || ok && (repository != want[0] || ref != want[1]) {
			t.Errorf("%s: %q %q %t", path, repository, ref, ok)
		}
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	defer goleak.VerifyNone(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, t.TempDir()) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + l.Addr().String() + "/v2/") // the listener's queue holds it until it is served
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("GET /v2/: %s", resp.Status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestServeSaysWhyItEndedByItself(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := Serve(t.Context(), l, t.TempDir()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
}
