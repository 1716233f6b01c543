package images

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"coinbench/services/settings"
)

const (
	// Repository begins the names of the images: coinbench/rng and so on.
	Repository = "coinbench"

	// BinaryPath is where the binary lies in the images.
	BinaryPath = "/coinbench"

	// DataPath is a folder in the images that their user may write to when a volume is mounted there; a new volume
	// takes over its owner.
	DataPath = "/data"

	user = "65532:65532" // the customary number of "nonroot"; no process of the host has it
	uid  = 65532
)

// Options say what an image is.
type Options struct {
	Binary   []byte // a static Linux executable
	Service  string // of settings.Services, or "" for an image of the bare program, whose arguments are the command
	Tag      string // the version that the service reports, and the source of its defaults; required
	Source   string // where the program's source is, a URL; "": unknown
	Revision string // of the source; "": unknown
	Labels   map[string]string
}

// Name returns the image's name without a registry: coinbench/rng:v0.1.
func (o Options) Name() string { return Name(o.Service, o.Tag) }

// Name returns the name of a service's image without a registry: coinbench/rng:v0.1, or coinbench/coinbench:v0.1 for
// the bare program.
func Name(service, tag string) string {
	return Repository + "/" + cmp.Or(service, "coinbench") + ":" + tag
}

// programLayer is the layer of all images of a binary.
func programLayer(binary []byte) (v1.Layer, error) {
	if _, err := Architecture(binary); err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	return newLayer([]file{
		{name: DataPath, mode: 0o700, owner: uid, dir: true},
		{name: BinaryPath, mode: 0o555, data: binary},
	})
}

// buildOn makes an image on the layer of its binary.
func buildOn(layer v1.Layer, o Options) (v1.Image, error) {
	fault := func(err error) (v1.Image, error) { return nil, fmt.Errorf("image %s: %w", o.Name(), err) }
	if o.Service != "" && !slices.Contains(settings.Services(), o.Service) {
		return nil, fmt.Errorf("image: unknown service %q; accepted: %s", o.Service, strings.Join(settings.Services(), ", "))
	}
	if _, err := name.NewTag(o.Name(), name.WeakValidation); err != nil || o.Tag == "" {
		return nil, fmt.Errorf("image of %s: the tag %q: up to 128 letters, digits, dots, dashes and underlines, such as v0.1",
			cmp.Or(o.Service, "the program"), o.Tag)
	}
	arch, err := Architecture(o.Binary)
	if err != nil {
		return fault(err)
	}
	config := v1.Config{
		User:       user,
		Entrypoint: []string{BinaryPath},
		WorkingDir: "/",
		Labels:     labels(o),
	}
	if o.Service != "" {
		config.Entrypoint = []string{BinaryPath, "service", o.Service}
		config.ExposedPorts = exposed(o.Service)
		defaults := settings.TagDefaults(o.Service, o.Tag)
		for _, k := range slices.Sorted(maps.Keys(defaults)) {
			config.Env = append(config.Env, k+"="+defaults[k])
		}
		if err := settings.Check(o.Service, defaults); err != nil {
			return fault(err)
		}
	}
	img, err := assemble(arch, config, layer)
	if err != nil {
		return fault(err)
	}
	return img, nil
}

// exposed are the ports of a service and of its health and metrics, as its settings have them.
func exposed(service string) map[string]struct{} {
	ports := map[string]struct{}{}
	for _, v := range settings.Variables(service) {
		if v.Kind != settings.KindAddress || v.Name != "COIN_LISTEN" && v.Name != "COIN_ADMIN_LISTEN" {
			continue
		}
		if _, port, ok := strings.Cut(v.DefaultFor(service), ":"); ok {
			ports[port+"/tcp"] = struct{}{}
		}
	}
	return ports
}

func labels(o Options) map[string]string {
	all := map[string]string{
		"org.opencontainers.image.title":   "coinbench " + o.Service,
		"org.opencontainers.image.version": o.Tag,
	}
	all["org.opencontainers.image.title"] = strings.TrimSpace(all["org.opencontainers.image.title"])
	for k, v := range map[string]string{"source": o.Source, "revision": o.Revision} {
		if v != "" {
			all["org.opencontainers.image."+k] = v
		}
	}
	maps.Copy(all, o.Labels)
	return all
}

// assemble puts a configuration on a layer.
func assemble(arch string, config v1.Config, layer v1.Layer) (v1.Image, error) {
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.Append(base, mutate.Addendum{Layer: layer, MediaType: types.OCILayer,
		History: v1.History{CreatedBy: "coinbench images"}})
	if err != nil {
		return nil, err
	}
	cf, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture, cf.Config = "linux", arch, config
	cf.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	cf.History[0].Created = cf.Created
	return mutate.ConfigFile(img, cf)
}

// file is one entry of a layer.
type file struct {
	name  string // absolute
	mode  int64
	owner int // user and group; 0: root
	data  []byte
	dir   bool
}

// newLayer packs files in the given order, with the folders that lead to them. Times are the epoch, so that the bytes
// depend on the files alone.
func newLayer(files []file) (v1.Layer, error) {
	size := 64 << 10 // of headers and padding
	for _, f := range files {
		size += len(f.data)
	}
	buf := bytes.NewBuffer(make([]byte, 0, size)) // growing it would take twice the memory
	w := tar.NewWriter(buf)
	made := map[string]bool{"/": true}
	var add func(f file) error
	add = func(f file) error {
		if parent := path.Dir(f.name); !made[parent] {
			if err := add(file{name: parent, mode: 0o755, dir: true}); err != nil {
				return err
			}
		}
		h := &tar.Header{Format: tar.FormatUSTAR, Name: strings.TrimPrefix(f.name, "/"), Mode: f.mode, Uid: f.owner, Gid: f.owner,
			ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg, Size: int64(len(f.data))}
		if f.dir {
			made[f.name] = true
			h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err := w.Write(f.data)
		return err
	}
	for _, f := range files {
		if err := add(f); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.BestSpeed), tarball.WithCompressedCaching)
}
