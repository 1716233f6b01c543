// Package registry is a small image registry that a cluster can pull from when it can reach no other.
//
// In goes a folder; out comes an http.Handler that speaks the OCI distribution protocol, and Serve, which runs it on a
// listener. The protocol is go-containerregistry's; this package adds what a registry needs that lives longer than a
// test: blobs and manifests on disk that are there again after a restart, no half-written blob, and an answer that says
// why when the disk is full. It has no access control and no TLS: it is for a lab, or for a private network.
package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
)

const (
	manifestLimit = 4 << 20          // bytes; the distribution specification asks for no more
	headerTimeout = 10 * time.Second // for a client to send its request's header
	drainTimeout  = 5 * time.Second  // for requests that run when Serve is told to stop
)

// Registry is a registry over a folder. It is safe for concurrent use by one process.
type Registry struct {
	protocol  http.Handler
	manifests manifestStore
}

// Open returns the registry of a folder, which it makes if it is not there, with everything that was pushed to it before.
func Open(dir string) (*Registry, error) {
	blobs := blobStore{filepath.Join(dir, "blobs")}
	manifests := manifestStore{filepath.Join(dir, "manifests")}
	for _, d := range []string{blobs.dir, manifests.dir} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("registry: %w: give the data folder to the user that the registry runs as", err)
		}
	}
	if err := blobs.sweep(); err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	r := &Registry{manifests: manifests, protocol: ggcr.New(
		ggcr.WithBlobHandler(blobs),
		ggcr.WithReferrersSupport(true),
		ggcr.Logger(log.New(io.Discard, "", 0)),
	)}
	records, err := manifests.load()
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	for _, m := range records {
		if a := r.put(context.Background(), m); a.status != http.StatusCreated {
			return nil, fmt.Errorf("registry: the manifest %s:%s in %s is damaged: %s: remove the folder and push again",
				m.Repository, m.Reference, dir, bytes.TrimSpace(a.body.Bytes()))
		}
	}
	return r, nil
}

// ServeHTTP speaks the distribution protocol. GET /v2/ answers 200 and serves as a health check.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	repository, reference, ok := manifestPath(req.URL.Path)
	switch {
	case ok && req.Method == http.MethodPut:
		r.servePut(w, req, repository, reference)
	case ok && req.Method == http.MethodDelete:
		a := newAnswer()
		r.protocol.ServeHTTP(a, req)
		if a.status < 300 {
			if err := r.manifests.remove(repository, reference); err != nil {
				fail(w, err)
				return
			}
		}
		a.copyTo(w)
	default:
		r.protocol.ServeHTTP(w, req)
	}
}

// servePut answers only when the manifest is on disk.
func (r *Registry) servePut(w http.ResponseWriter, req *http.Request, repository, reference string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, manifestLimit))
	if err != nil {
		refuse(w, http.StatusBadRequest, "MANIFEST_INVALID", fmt.Sprintf("reading the manifest: %v", err))
		return
	}
	m := record{Repository: repository, Reference: reference, MediaType: req.Header.Get("Content-Type"), Body: body}
	a := r.put(req.Context(), m)
	if a.status == http.StatusCreated {
		if err := r.manifests.store(m); err != nil {
			fail(w, err)
			return
		}
	}
	a.copyTo(w)
}

// put hands a manifest to the protocol, which holds manifests in memory.
func (r *Registry) put(ctx context.Context, m record) *answer {
	a := newAnswer()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "/v2/"+m.Repository+"/manifests/"+m.Reference, bytes.NewReader(m.Body))
	if err != nil {
		a.status = http.StatusBadRequest
		a.body.WriteString(err.Error())
		return a
	}
	req.Header.Set("Content-Type", m.MediaType)
	r.protocol.ServeHTTP(a, req)
	return a
}

// Serve serves the registry of a folder on a listener until the context ends; then it finishes what runs, for a few
// seconds, and returns nil. It closes the listener.
func Serve(ctx context.Context, l net.Listener, dir string) error {
	r, err := Open(dir)
	if err != nil {
		l.Close()
		return err
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: headerTimeout, ErrorLog: log.New(io.Discard, "", 0)}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		err := server.Shutdown(drain)
		if err != nil {
			server.Close()
		}
		stopped <- err
	})
	err = server.Serve(l)
	if stop() { // it was not asked to end
		return fmt.Errorf("registry: %w", err)
	}
	if err := <-stopped; err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("registry: %w", err)
	}
	return nil
}
