package images

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/moby/moby/client"
	"go.uber.org/goleak"

	"coinbench/services/settings"
)

// program is the smallest file that passes for a Linux executable of a machine; linker makes it a dynamic one.
func program(t *testing.T, machine elf.Machine, linker string) []byte {
	t.Helper()
	const headerSize, progSize = 64, 56
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Ehsize: headerSize, Phoff: headerSize,
		Phentsize: progSize, Phnum: 1, Shentsize: 64}
	copy(h.Ident[:], []byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1})
	p := elf.Prog64{Type: uint32(elf.PT_LOAD), Off: headerSize + progSize, Filesz: uint64(len(linker)), Memsz: uint64(len(linker))}
	if linker != "" {
		p.Type = uint32(elf.PT_INTERP)
	}
	var b bytes.Buffer
	for _, part := range []any{h, p} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	b.WriteString(linker)
	return b.Bytes()
}

func options(t *testing.T, service, tag string) Options {
	return Options{Binary: program(t, elf.EM_X86_64, ""), Service: service, Tag: tag, Source: "https://example.org/coinbench", Revision: "abc"}
}

func mustBuild(t *testing.T, o Options) v1.Image {
	t.Helper()
	img, err := builtAlone(o)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func digest(t *testing.T, img v1.Image) v1.Hash {
	t.Helper()
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestArchitecture(t *testing.T) {
	for machine, want := range map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64", elf.EM_RISCV: "riscv64",
		elf.EM_PPC64: "ppc64le"} {
		if got, err := Architecture(program(t, machine, "")); err != nil || got != want {
			t.Errorf("%s: %q, %v", machine, got, err)
		}
	}
	bsd := program(t, elf.EM_X86_64, "")
	bsd[elf.EI_OSABI] = byte(elf.ELFOSABI_FREEBSD)
	for name, c := range map[string]struct {
		data []byte
		says string
	}{
		"text":        {[]byte("#!/bin/sh"), "not in Linux' format"},
		"empty":       {nil, "not in Linux' format"},
		"dynamic":     {program(t, elf.EM_X86_64, "/lib64/ld-linux-x86-64.so.2\x00"), "needs /lib64/ld-linux-x86-64.so.2)"},
		"FreeBSD":     {bsd, "FREEBSD"},
		"odd machine": {program(t, elf.EM_VAX, ""), "VAX"},
	} {
		if _, err := Architecture(c.data); err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), HowToBuild) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBuildIsReproducibleAndSharesItsLayer(t *testing.T) {
	if a, b := digest(t, mustBuild(t, options(t, "rng", "v0.1"))), digest(t, mustBuild(t, options(t, "rng", "v0.1"))); a != b {
		t.Errorf("equal options, different images: %s and %s", a, b)
	}
	layers, images := map[v1.Hash]bool{}, map[v1.Hash]bool{}
	services, tags := append(settings.Services(), ""), []string{"v0.1", "v0.01"}
	for _, s := range services {
		for _, tag := range tags {
			img := mustBuild(t, options(t, s, tag))
			all, err := img.Layers()
			if err != nil || len(all) != 1 {
				t.Fatalf("%d layers, %v", len(all), err)
			}
			h, err := all[0].Digest()
			if err != nil {
				t.Fatal(err)
			}
			layers[h], images[digest(t, img)] = true, true
		}
	}
	if len(layers) != 1 || len(images) != len(services)*len(tags) {
		t.Errorf("%d layers in %d images; want 1 in %d", len(layers), len(images), len(services)*len(tags))
	}
}

func TestBuildHoldsTheBinaryAndNothingElse(t *testing.T) {
	o := options(t, "worker", "v0.01")
	o.Labels = map[string]string{"org.example.ours": "yes"}
	img := mustBuild(t, o)
	cf, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := cf.Config
	if cf.OS != "linux" || cf.Architecture != "amd64" || c.User != "65532:65532" || !cf.Created.IsZero() && cf.Created.Unix() != 0 {
		t.Errorf("%s/%s, user %s, created %s", cf.OS, cf.Architecture, c.User, cf.Created)
	}
	if got := strings.Join(c.Entrypoint, " "); got != "/coinbench service worker" || c.Cmd != nil {
		t.Errorf("entrypoint %q, command %q", got, c.Cmd)
	}
	if !slices.Equal(c.Env, []string{"COIN_THINK=10ms", "COIN_VERSION=v0.01"}) {
		t.Errorf("environment %q", c.Env)
	}
	want := map[string]string{"org.opencontainers.image.title": "coinbench worker", "org.opencontainers.image.version": "v0.01",
		"org.opencontainers.image.source": "https://example.org/coinbench", "org.opencontainers.image.revision": "abc", "org.example.ours": "yes"}
	if !maps.Equal(c.Labels, want) {
		t.Errorf("labels %v", c.Labels)
	}

	r := tar.NewReader(mutate.Extract(img))
	var got []string
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, h.FileInfo().Mode().String()+" "+h.Name)
		if h.ModTime.Unix() != 0 {
			t.Errorf("%s is of %s", h.Name, h.ModTime)
		}
		if data, _ := io.ReadAll(r); h.Name == "coinbench" && (!bytes.Equal(data, o.Binary) || h.Uid != 0) {
			t.Errorf("the binary has %d bytes of user %d", len(data), h.Uid)
		}
	}
	if want := []string{"drwx------ data", "-r-xr-xr-x coinbench"}; !slices.Equal(got, want) {
		t.Errorf("the image holds %q", got)
	}
}

func TestPortsAreThoseOfTheSettings(t *testing.T) {
	for service, want := range map[string][]string{"rng": {"80/tcp", "8081/tcp"}, "worker": {"8081/tcp"}, "": nil} {
		cf, err := mustBuild(t, options(t, service, "v0.1")).ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Sorted(maps.Keys(cf.Config.ExposedPorts)); !slices.Equal(got, want) {
			t.Errorf("%q exposes %v", service, got)
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		says   string
	}{
		"an unknown service": {func(o *Options) { o.Service = "rgn" }, "accepted: rng, hasher, worker, webui"},
		"no tag":             {func(o *Options) { o.Tag = "" }, "such as v0.1"},
		"an odd tag":         {func(o *Options) { o.Tag = "v 1" }, "such as v0.1"},
		"no binary":          {func(o *Options) { o.Binary = nil }, HowToBuild},
	} {
		o := options(t, "rng", "v0.1")
		c.change(&o)
		if _, err := builtAlone(o); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPushAndPull(t *testing.T) {
	server := httptest.NewServer(ggcr.New(ggcr.Logger(discard())))
	defer server.Close()
	to := Remote{Registry: strings.TrimPrefix(server.URL, "http://"), Insecure: true}
	set, err := BuildAll(options(t, "", "v0.1"), settings.Services())
	if err != nil {
		t.Fatal(err)
	}
	digests, err := Push(t.Context(), to, set)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"coinbench/gateway:v0.1", "coinbench/hasher:v0.1", "coinbench/rng:v0.1", "coinbench/webui:v0.1",
		"coinbench/worker:v0.1"}; !slices.Equal(set.Names(), want) {
		t.Errorf("%v", set.Names())
	}
	for n, img := range set {
		pulled, err := pull(t.Context(), to, n)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(pulled); err != nil {
			t.Errorf("%s: %v", n, err)
		}
		if got := digest(t, pulled); got != digest(t, img) || got != digests[n] {
			t.Errorf("%s: pulled %s, pushed %s, told %s", n, got, digest(t, img), digests[n])
		}
	}
	if _, err := pull(t.Context(), to, "coinbench/rng:v9"); err == nil || !strings.Contains(err.Error(), to.Registry+"/coinbench/rng:v9") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Push(ctx, to, set); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestSaveAndLoad(t *testing.T) {
	set, err := BuildAll(options(t, "", "v0.1"), settings.Services())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "images.tar")
	var saved bytes.Buffer
	if err := Save(&saved, set); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, saved.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, err := load(path)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(loaded.Names(), set.Names()) {
		t.Errorf("saved %v, loaded %v", set.Names(), loaded.Names())
	}
	for n, img := range loaded {
		a, aerr := img.ConfigName()
		b, berr := set[n].ConfigName()
		if a != b || aerr != nil || berr != nil {
			t.Errorf("%s: saved %s, loaded %s", n, b, a)
		}
	}
	if _, err := load(filepath.Join(t.TempDir(), "none.tar")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// engine answers an ImageLoad.
type engine struct {
	answer string
	err    error
	got    int64
}

func (e *engine) ImageLoad(_ context.Context, input io.Reader, _ ...client.ImageLoadOption) (client.ImageLoadResult, error) {
	if e.err != nil {
		return nil, e.err
	}
	e.got, _ = io.Copy(io.Discard, input)
	return io.NopCloser(strings.NewReader(e.answer)), nil
}

func TestLoadIntoEngine(t *testing.T) {
	defer goleak.VerifyNone(t)
	set := Set{"coinbench/rng:v0.1": mustBuild(t, options(t, "rng", "v0.1"))}
	for name, c := range map[string]struct {
		engine engine
		says   string // "": no error
	}{
		"loaded":       {engine{answer: `{"stream":"Loaded image: coinbench/rng:v0.1\n"}`}, ""},
		"refused":      {engine{err: errors.New("connection refused")}, "connection refused"},
		"a full disk":  {engine{answer: `{"errorDetail":{"message":"x"},"error":"no space left on device"}`}, "no space left on device"},
		"a cut answer": {engine{answer: `{"stream`}, "reading its answer"},
	} {
		err := LoadIntoEngine(t.Context(), &c.engine, set)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if c.engine.err == nil && c.engine.got == 0 {
			t.Errorf("%s: the engine was given nothing", name)
		}
	}
}

// The files that an executable needs are those that the system's own linker finds.
func TestClosureIsWhatLddFinds(t *testing.T) {
	ldd, err := exec.LookPath("ldd")
	if err != nil || runtime.GOOS != "linux" {
		t.Skip("not run: a comparison with ldd, for want of it")
	}
	for _, executable := range []string{redisServer, "/usr/bin/env"} {
		out, err := exec.CommandContext(t.Context(), ldd, executable).Output()
		if err != nil {
			t.Logf("ldd %s: %v", executable, err)
			continue
		}
		var want []string
		for _, m := range regexp.MustCompile(`(/\S+) \(0x`).FindAllSubmatch(out, -1) {
			want = append(want, string(m[1]))
		}
		files, arch, err := closure("/", executable)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range files {
			if f.name != executable {
				got = append(got, f.name)
			}
		}
		slices.Sort(want)
		if !slices.Equal(got, want) || arch != runtime.GOARCH {
			t.Errorf("%s (%s):\n got %q\nwant %q", executable, arch, got, want)
		}
	}
}

func TestRedisSaysWhatToInstall(t *testing.T) {
	if _, err := Redis(t.TempDir()); err == nil || !strings.Contains(err.Error(), "apt-get install") {
		t.Errorf("%v", err)
	}
}

func TestRedisImage(t *testing.T) {
	if _, err := os.Stat(redisServer); err != nil {
		if os.Getenv("COINBENCH_GATE") != "" {
			t.Fatal("the gate needs redis-server: install it")
		}
		t.Skip("not run: an image of a real Redis, for want of redis-server")
	}
	img, err := Redis("")
	if err != nil {
		t.Fatal(err)
	}
	cf, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if cf.Architecture != runtime.GOARCH || cf.Config.User != "65532:65532" || cf.Created.Unix() != 0 {
		t.Errorf("%s, user %s, created %s", cf.Architecture, cf.Config.User, cf.Created)
	}
}

// Our own Redis is one more image of the same layer, and needs nothing that is installed.
func TestOwnRedisImage(t *testing.T) {
	binary := options(t, "", "v0.1").Binary
	own, err := OwnRedis(binary)
	if err != nil {
		t.Fatal(err)
	}
	rng, err := builtAlone(options(t, "rng", "v0.1"))
	if err != nil {
		t.Fatal(err)
	}
	cf, err := own.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if _, exposed := cf.Config.ExposedPorts["6379/tcp"]; !exposed || !slices.Equal(cf.Config.Entrypoint, []string{"/coinbench", "redis"}) ||
		cf.Config.User != "65532:65532" {
		t.Errorf("%+v", cf.Config)
	}
	a, err := own.Layers()
	if err != nil {
		t.Fatal(err)
	}
	b, err := rng.Layers()
	if err != nil {
		t.Fatal(err)
	}
	one, _ := a[0].Digest()
	other, _ := b[0].Digest()
	if len(a) != 1 || one != other {
		t.Errorf("layers %s and %s", one, other)
	}
	if _, err := OwnRedis([]byte("#!/bin/sh")); err == nil {
		t.Error("made of a script")
	}
}

func TestBinaryOutsideOfTheModuleSaysWhy(t *testing.T) {
	_, err := Binary(t.Context(), t.TempDir(), nil)
	if err == nil || !strings.Contains(err.Error(), "is a test") {
		t.Errorf("%v", err)
	}
}

func discard() *log.Logger { return log.New(io.Discard, "", 0) }

// builtAlone makes an image. Equal options make equal bytes.
func builtAlone(o Options) (v1.Image, error) {
	layer, err := programLayer(o.Binary)
	if err != nil {
		return nil, err
	}
	return buildOn(layer, o)
}

// pull fetches one image; its layers are read when they are asked for.
func pull(ctx context.Context, from Remote, image string) (v1.Image, error) {
	ref, err := from.parse(image)
	if err != nil {
		return nil, fmt.Errorf("pull: %w", err)
	}
	img, err := remote.Image(ref, from.options(ctx)...)
	if err != nil {
		return nil, fmt.Errorf("pull %s: %w", ref, err)
	}
	return img, nil
}

// load reads a file that Save or docker save wrote. The images read from the file when they are used.
func load(path string) (Set, error) {
	open := func() (io.ReadCloser, error) { return os.Open(path) }
	manifest, err := tarball.LoadManifest(open)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	set := Set{}
	for _, d := range manifest {
		for _, n := range d.RepoTags {
			tag, err := name.NewTag(n, name.WeakValidation)
			if err != nil {
				return nil, fmt.Errorf("load %s: %w", path, err)
			}
			if set[n], err = tarball.Image(open, &tag); err != nil {
				return nil, fmt.Errorf("load %s from %s: %w", n, path, err)
			}
		}
	}
	if len(set) == 0 {
		return nil, fmt.Errorf("load %s: it holds no image with a name", path)
	}
	return set, nil
}
