package images

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// RedisName is the name of the image that Redis makes, where a cluster that can pull looks for the upstream one, too.
const RedisName = "library/redis:7"

const redisServer = "/usr/bin/redis-server"

// Redis makes an image of the Redis server that is installed under a root folder ("": "/", this machine): the server and
// the shared libraries that it needs. It listens on port 6379 without a password, as the upstream image does, keeps
// nothing on disk, and does not run as root.
func Redis(root string) (v1.Image, error) {
	if root == "" {
		root = "/"
	}
	files, arch, err := closure(root, redisServer)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("redis image: %w: install the package with: apt-get install --no-install-recommends redis-server", err)
	case err != nil:
		return nil, fmt.Errorf("redis image: %w", err)
	}
	layer, err := newLayer(append([]file{{name: DataPath, mode: 0o700, owner: uid, dir: true}}, files...))
	if err != nil {
		return nil, fmt.Errorf("redis image: %w", err)
	}
	img, err := assemble(arch, v1.Config{
		User:         user,
		Entrypoint:   []string{redisServer},
		Cmd:          []string{"--protected-mode", "no", "--save", "", "--appendonly", "no"},
		WorkingDir:   DataPath,
		ExposedPorts: map[string]struct{}{"6379/tcp": {}},
		Labels:       map[string]string{"org.opencontainers.image.title": "Redis, as installed where coinbench ran"},
	}, layer)
	if err != nil {
		return nil, fmt.Errorf("redis image: %w", err)
	}
	return img, nil
}

// OwnRedis makes an image of the Redis that is inside our own binary (miniredis), for where no other can be had: it knows every command
// that the app uses, keeps nothing on disk, and is not as fast. It shares the layer of the other images of that binary.
func OwnRedis(binary []byte) (v1.Image, error) {
	arch, err := Architecture(binary)
	if err != nil {
		return nil, fmt.Errorf("redis image: %w", err)
	}
	layer, err := programLayer(binary)
	if err != nil {
		return nil, fmt.Errorf("redis image: %w", err)
	}
	img, err := assemble(arch, v1.Config{
		User:         user,
		Entrypoint:   []string{BinaryPath, "redis"},
		WorkingDir:   "/",
		ExposedPorts: map[string]struct{}{"6379/tcp": {}},
		Labels:       map[string]string{"org.opencontainers.image.title": "coinbench's own Redis"},
	}, layer)
	if err != nil {
		return nil, fmt.Errorf("redis image: %w", err)
	}
	return img, nil
}

// closure returns an executable, its dynamic linker and all shared libraries that it needs, in the order of their names,
// and the GOARCH that they are for. It follows the names that the files hold (DT_NEEDED) and runs nothing.
func closure(root, executable string) ([]file, string, error) {
	found := map[string]file{}
	arch, linker := "", ""
	var add func(name string) error
	add = func(name string) error {
		if _, seen := found[name]; seen {
			return nil
		}
		data, err := readUnder(root, name)
		if err != nil {
			return err
		}
		f, err := elf.NewFile(bytes.NewReader(data))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		defer f.Close()
		if arch == "" {
			arch = goarch(f)
		}
		found[name] = file{name: name, mode: 0o555, data: data}
		if l := interpreter(f); l != "" && linker == "" {
			linker = l
			if err := add(l); err != nil {
				return err
			}
		}
		needed, err := f.ImportedLibraries()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, library := range needed {
			if path.Base(linker) == library { // it is there before any library is looked for
				continue
			}
			at, err := locate(root, name, library, f)
			if err != nil {
				return err
			}
			if err := add(at); err != nil {
				return err
			}
		}
		return nil
	}
	if err := add(executable); err != nil {
		return nil, "", err
	}
	files := make([]file, 0, len(found))
	for _, f := range found {
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return files, arch, nil
}

// locate finds a library where the dynamic linker of a Debian or Red Hat system would, without its cache: in the folders
// that the needing file names, then in the system's, those of the machine's multiarch name first.
func locate(root, needing, library string, f *elf.File) (string, error) {
	if strings.Contains(library, "/") {
		return library, nil
	}
	var folders []string
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		values, _ := f.DynString(tag)
		for _, v := range values {
			for folder := range strings.SplitSeq(v, ":") {
				folders = append(folders, strings.NewReplacer("${ORIGIN}", path.Dir(needing), "$ORIGIN", path.Dir(needing)).Replace(folder))
			}
		}
	}
	folders = append(folders, multiarch(f)...)
	folders = append(folders, "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib")
	for _, folder := range folders {
		name := path.Join("/", folder, library)
		if info, err := os.Stat(filepath.Join(root, name)); err == nil && info.Mode().IsRegular() {
			return name, nil
		}
	}
	return "", fmt.Errorf("%s needs the library %s, which is in none of %s", needing, library, strings.Join(folders, ", "))
}

// multiarch are Debian's folders of libraries for a machine.
func multiarch(f *elf.File) []string {
	triplet := map[string]string{
		"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu", "arm": "arm-linux-gnueabihf", "386": "i386-linux-gnu",
		"riscv64": "riscv64-linux-gnu", "s390x": "s390x-linux-gnu", "ppc64le": "powerpc64le-linux-gnu",
	}[goarch(f)]
	if triplet == "" {
		return nil
	}
	return []string{"/lib/" + triplet, "/usr/lib/" + triplet}
}

// readUnder reads a file, links followed, from a tree that may have another root.
func readUnder(root, name string) ([]byte, error) {
	if root == "/" { // absolute links lead where they should
		return os.ReadFile(name)
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.ReadFile(strings.TrimPrefix(name, "/"))
}
