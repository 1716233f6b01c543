package engine

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/moby/moby/client"
)

// An engine that is too old is refused by the version that both would speak, with what to do.
func TestAnOldEngineIsRefused(t *testing.T) {
	for version, works := range map[string]bool{"1.40": false, "1.41": true, "1.45": true, "1.99": true} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Api-Version", version)
			w.WriteHeader(http.StatusOK)
		}))
		spoken, err := client.New(client.WithHost("tcp://" + server.Listener.Addr().String()))
		if err != nil {
			t.Fatal(err)
		}
		err = New(spoken, Options{}).Speaks(t.Context())
		if works != (err == nil) {
			t.Errorf("API %s: %v", version, err)
		}
		if err != nil && !strings.Contains(err.Error(), "upgrade the engine to 20.10") {
			t.Errorf("API %s: %v", version, err)
		}
		spoken.Close()
		server.Close()
	}
}

func TestImagesAreNamedByTheRegistryThatHasThem(t *testing.T) {
	e := New(nil, Options{Registry: "127.0.0.1:5000/"})
	e.mirrored = map[string]bool{"redis:7": true}
	for plain, full := range map[string]string{
		"coinbench/rng:v0.1": "127.0.0.1:5000/coinbench/rng:v0.1",
		"redis:7":            "127.0.0.1:5000/library/redis:7",
		"redis:8":            "redis:8",
		"other.org/x:1":      "other.org/x:1",
	} {
		if got := e.Reference(plain); got != full {
			t.Errorf("%s is %s, want %s", plain, got, full)
		}
		if got := e.Plain(full + "@sha256:0123"); got != plain {
			t.Errorf("%s is plainly %s, want %s", full, got, plain)
		}
	}
}
