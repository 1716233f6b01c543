package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const uploadPrefix = "upload-"

// blobStore keeps blobs as files named by their digest. A file with a digest's name is whole: the caller verifies what
// is read from it against the digest, and only then is it renamed to that name.
type blobStore struct{ dir string }

var (
	_ ggcr.BlobStatHandler   = blobStore{}
	_ ggcr.BlobPutHandler    = blobStore{}
	_ ggcr.BlobDeleteHandler = blobStore{}
)

func (s blobStore) path(h v1.Hash) string { return filepath.Join(s.dir, h.Algorithm+"-"+h.Hex) }

// sweep removes what a registry that was killed left half-written.
func (s blobStore) sweep() error {
	left, err := filepath.Glob(filepath.Join(s.dir, uploadPrefix+"*"))
	for _, name := range left {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

func (s blobStore) Stat(_ context.Context, _ string, h v1.Hash) (int64, error) {
	info, err := os.Stat(s.path(h))
	if err != nil {
		return 0, known(err)
	}
	return info.Size(), nil
}

func (s blobStore) Get(_ context.Context, _ string, h v1.Hash) (io.ReadCloser, error) {
	f, err := os.Open(s.path(h))
	if err != nil {
		return nil, known(err)
	}
	return f, nil
}

func (s blobStore) Put(_ context.Context, _ string, h v1.Hash, rc io.ReadCloser) error {
	if err := writeFile(s.path(h), rc); err != nil {
		return fmt.Errorf("storing blob %s: %w", h, err)
	}
	return nil
}

func (s blobStore) Delete(_ context.Context, _ string, h v1.Hash) error {
	return known(os.Remove(s.path(h)))
}

func known(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ggcr.ErrNotFound
	}
	return err
}

// writeFile makes or replaces a file as a whole: after an error there is no trace of it.
func writeFile(path string, r io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(path), uploadPrefix+"*")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if cerr := f.Close(); err == nil { // some file systems report a full disk only now
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
