package registry

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
)

// record is a manifest as it was pushed.
type record struct {
	Repository string `json:"repository"`
	Reference  string `json:"reference"` // a tag or a digest
	MediaType  string `json:"media_type"`
	Body       []byte `json:"body"`
}

// manifestStore keeps one file per repository and reference.
type manifestStore struct{ dir string }

func (s manifestStore) path(repository, reference string) string {
	return filepath.Join(s.dir, fmt.Sprintf("%x.json", sha256.Sum256([]byte(repository+":"+reference))))
}

func (s manifestStore) store(m record) error {
	data, err := json.Marshal(m)
	if err == nil {
		err = writeFile(s.path(m.Repository, m.Reference), bytes.NewReader(data))
	}
	if err != nil {
		return fmt.Errorf("storing manifest %s:%s: %w", m.Repository, m.Reference, err)
	}
	return nil
}

func (s manifestStore) remove(repository, reference string) error {
	err := os.Remove(s.path(repository, reference))
	if errors.Is(err, fs.ErrNotExist) { // pushed by tag and removed by digest: the tag's own record stays
		return nil
	}
	return err
}

// load returns all manifests in an order in which they can be pushed again: images before the indexes that name them.
func (s manifestStore) load() ([]record, error) {
	names, err := filepath.Glob(filepath.Join(s.dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var all []record
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var m record
		if err := json.Unmarshal(data, &m); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, m)
	}
	slices.SortStableFunc(all, func(a, b record) int { return cmp.Compare(a.rank(), b.rank()) })
	return all, nil
}

func (m record) rank() int {
	if types.MediaType(m.MediaType).IsIndex() {
		return 1
	}
	return 0
}

// manifestPath splits /v2/<repository>/manifests/<reference>.
func manifestPath(path string) (repository, reference string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok {
		return "", "", false
	}
	i := strings.LastIndex(rest, "/manifests/")
	if i < 1 {
		return "", "", false
	}
	repository, reference = rest[:i], rest[i+len("/manifests/"):]
	return repository, reference, reference != "" && !strings.Contains(reference, "/")
}
