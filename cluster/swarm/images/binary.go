package images

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// HowToBuild is the command that makes a binary that an image can hold, to be run in the module's folder.
const HowToBuild = "CGO_ENABLED=0 GOOS=linux go build -trimpath ./cmd/coinbench"

// Architecture returns the GOARCH of a static Linux executable. The error of anything else says what it is, and how to
// build a right one.
func Architecture(binary []byte) (string, error) {
	wrong := func(what string) error {
		return fmt.Errorf("the binary %s, and an image without a base can only run a static Linux executable; build one with: %s", what,
			HowToBuild)
	}
	f, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		return "", wrong("is not in Linux' format (ELF)")
	}
	defer f.Close()
	switch {
	case f.OSABI != elf.ELFOSABI_NONE && f.OSABI != elf.ELFOSABI_LINUX:
		return "", wrong("is made for " + f.OSABI.String())
	case f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN:
		return "", wrong("is no executable")
	case interpreter(f) != "":
		return "", wrong("is linked dynamically (it needs " + interpreter(f) + ")")
	}
	arch := goarch(f)
	if arch == "" {
		return "", wrong("is made for an unknown machine, " + f.Machine.String())
	}
	return arch, nil
}

func goarch(f *elf.File) string {
	switch f.Machine {
	case elf.EM_X86_64:
		return "amd64"
	case elf.EM_AARCH64:
		return "arm64"
	case elf.EM_ARM:
		return "arm"
	case elf.EM_386:
		return "386"
	case elf.EM_RISCV:
		return "riscv64"
	case elf.EM_S390:
		return "s390x"
	case elf.EM_PPC64:
		if f.Data == elf.ELFDATA2LSB {
			return "ppc64le"
		}
		return "ppc64"
	}
	return ""
}

// interpreter is the dynamic linker that an executable asks for, or "".
func interpreter(f *elf.File) string {
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		name := make([]byte, p.Filesz)
		if _, err := p.ReadAt(name, 0); err != nil {
			return "a dynamic linker"
		}
		return string(bytes.TrimRight(name, "\x00"))
	}
	return ""
}

// Binary returns a binary that an image can hold: the running executable if it is a static Linux one of this program,
// otherwise one that the go tool builds from the module's sources in dir ("": the working folder). The environment is
// that of the go tool (nil: this process's own).
func Binary(ctx context.Context, dir string, env []string) ([]byte, error) {
	self, err := ownExecutable()
	if err == nil {
		return self, nil
	}
	built, buildErr := build(ctx, dir, env)
	if buildErr != nil {
		return nil, fmt.Errorf("no binary for the images: this program cannot be used: %w; nor can one be built here: %w", err, buildErr)
	}
	return built, nil
}

func ownExecutable() ([]byte, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if name := filepath.Base(path); strings.HasSuffix(name, ".test") {
		return nil, fmt.Errorf("%s is a test", name)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if _, err := Architecture(data); err != nil {
		return nil, err
	}
	return data, nil
}

// build builds the command for Linux on this machine's architecture.
func build(ctx context.Context, dir string, env []string) ([]byte, error) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		return nil, errors.New("there is no go tool")
	}
	run := func(args ...string) (string, error) {
		c := exec.CommandContext(ctx, goTool, args...)
		c.Dir = dir
		c.Env = env
		c.Env = append(c.Environ(), "CGO_ENABLED=0", "GOOS=linux")
		var stderr bytes.Buffer
		c.Stderr = &stderr
		out, err := c.Output()
		if err != nil {
			return "", fmt.Errorf("go %s: %w: %s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
		}
		return strings.TrimSpace(string(out)), nil
	}
	module, err := run("list", "-m", "-f", "{{.Path}}")
	if err != nil {
		return nil, err
	}
	if module != "coinbench" {
		return nil, errors.New("coinbench's sources are not in this folder")
	}
	tmp, err := os.MkdirTemp("", "coinbench-build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	out := filepath.Join(tmp, "coinbench")
	if _, err := run("build", "-trimpath", "-o", out, "coinbench/cmd/coinbench"); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
}
