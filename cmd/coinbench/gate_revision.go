package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"coinbench/capacity/gate"
	"coinbench/cluster"
	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/images"
	"coinbench/cluster/swarm/lab"
	"coinbench/services/settings"
)

const (
	workingTree    = "."
	revisionPrefix = "git:"
)

// areRevisions says whether --base and --head name revisions of coinbench's own sources, and not tags of images.
func (f gateFlags) areRevisions() bool {
	for _, s := range []sideFlags{f.base, f.head} {
		if s.tag == workingTree || s.tag == anchor || strings.HasPrefix(s.tag, revisionPrefix) {
			return true
		}
	}
	return false
}

// revision is a state of coinbench's sources, built.
type revision struct {
	subject gate.Subject
	binary  string // path
}

// revision builds what --base or --head names.
func (f gateFlags) revision(p process, name, scenario string) (revision, error) {
	system := ""
	switch f.where.name {
	case "sim":
		return revision{}, errors.New("the simulated cluster plays no service's code, so that revisions do not differ there; accepted: local, " +
			"swarm")
	case "swarm":
		system = "linux"
	}
	if name == anchor {
		var err error
		if name, err = findAnchor(f.store, scenario); err != nil {
			return revision{}, err
		}
	}
	ctx, stop := p.interruptible()
	defer stop()
	fmt.Fprintf(p.stderr, "building %s\n", name)
	return buildRevision(ctx, name, f.built, system)
}

// buildRevision builds a revision of the repository of the working folder into dir. The same sources give the same binary, and so the same
// digest, wherever they are built.
func buildRevision(ctx context.Context, name, dir, system string) (r revision, err error) {
	name = strings.TrimPrefix(name, revisionPrefix)
	top, err := git(".", "rev-parse", "--show-toplevel")
	if err != nil {
		return r, fmt.Errorf("%w; accepted: revisions in a clone of coinbench, or tags of images", err)
	}
	tree := strings.TrimSpace(top)
	at := name
	if name == workingTree {
		at = "HEAD"
	}
	var commits []string
	_, err = git(tree, "rev-parse", "--verify", "--quiet", "--end-of-options", at+"^{commit}")
	if err == nil {
		var line string
		line, err = git(tree, "rev-list", "--parents", "--max-count=1", "--end-of-options", at)
		commits = strings.Fields(line)
	}
	if err != nil || len(commits) == 0 {
		return r, fmt.Errorf("no such revision; accepted: a branch, tag or commit of git, or . for the working tree (%v)", err)
	}
	r.subject = gate.Subject{Text: name + " (" + commits[0][:10] + ")", Commit: commits[0], Parents: commits[1:]}
	if name == workingTree {
		changed, err := git(tree, "status", "--porcelain")
		if err != nil {
			return r, err
		}
		r.subject.Text = "the working tree (" + commits[0][:10] + ")"
		if changed != "" { // it is no commit yet
			r.subject.Text = "the working tree (" + commits[0][:10] + ", changed)"
			r.subject.Commit, r.subject.Parents = "", commits[:1]
		}
	} else {
		checkout := filepath.Join(dir, "tree-"+commits[0])
		if _, err := git(tree, "worktree", "add", "--detach", "--force", checkout, commits[0]); err != nil {
			return r, err
		}
		defer func() {
			_, e := git(tree, "worktree", "remove", "--force", checkout)
			err = errors.Join(err, e)
		}()
		tree = checkout
	}
	r.binary = filepath.Join(dir, "coinbench-"+digestOf([]byte(name))[:12])
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", r.binary, "coinbench/cmd/coinbench")
	build.Dir = tree
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if system != "" {
		build.Env = append(build.Env, "GOOS="+system)
	}
	var said bytes.Buffer
	build.Stderr = &said
	if err := build.Run(); err != nil {
		return r, unmeasured(fmt.Errorf("build %s: %w: %s", name, err, bytes.TrimSpace(said.Bytes())))
	}
	r.subject.Digest, err = fileDigest(r.binary)
	return r, err
}

// of makes the side one of a revision: on this machine its services run the revision's binary, on a Swarm images that are made of it.
func (s side) of(ctx context.Context, r revision) (side, error) {
	s.text, s.commit, s.parents = r.subject.Text, r.subject.Commit, r.subject.Parents
	if s.where.name != "swarm" {
		s.where.binary = r.binary
		return s, nil
	}
	tag := "git-" + r.subject.Digest[:12]
	for i := range s.scenario.App.Services {
		service := &s.scenario.App.Services[i]
		if image := cluster.ParseImage(service.Image); image.Coinbench() {
			service.Environment = service.Effective() // which the old tag may have told
			service.Image = "coinbench/" + image.Kind + ":" + tag
		}
	}
	binary, err := os.ReadFile(r.binary)
	if err != nil {
		return s, unmeasured(fmt.Errorf("read what was built of %s: %w", s.text, err))
	}
	set, err := images.BuildAll(images.Options{Binary: binary}, settings.Services(), tag)
	if err != nil {
		return s, unmeasured(err)
	}
	e, err := s.where.registered()
	if err != nil {
		return s, err
	}
	defer e.Close()
	if e.Registry == "" {
		return s, unmeasured(images.LoadIntoEngine(ctx, e, set))
	}
	to := images.Remote{Registry: e.Registry, Insecure: private(e.Registry)}
	if l := lab.Serving(e.DaemonHost()); l != nil {
		to = l.Remote()
	}
	_, err = images.Push(ctx, to, set)
	return s, unmeasured(err)
}

// registered is the engine of a Swarm that knows where its images come from.
func (f clusterFlags) registered() (*engine.Engine, error) {
	e, err := f.swarm.engine(false)
	if err != nil {
		return nil, err
	}
	if l := lab.Serving(e.DaemonHost()); l != nil && e.Registry == "" {
		e.Registry = l.Registry()
	}
	if err := reach(func(ctx context.Context) error { return e.Locate(ctx, nil) }); err != nil {
		e.Close()
		return nil, fmt.Errorf("ask the engine for its registry: %w", err)
	}
	return e, nil
}

// imageDigests are those of the app's own images, as the Swarm's engine finds them: a tag may be pushed again.
func (f clusterFlags) imageDigests(app cluster.App) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e, err := f.registered()
	if err != nil {
		return nil, err
	}
	defer e.Close()
	var all []string
	for _, s := range app.Services {
		if !cluster.ParseImage(s.Image).Coinbench() || strings.Contains(s.Image, "@") || s.Replicas == 0 {
			continue
		}
		name := e.Reference(s.Image)
		if found, err := e.DistributionInspect(ctx, name, client.DistributionInspectOptions{}); err == nil {
			all = append(all, found.Descriptor.Digest.String())
			continue
		}
		found, err := e.ImageInspect(ctx, name) // one without a registry
		if err != nil {
			return nil, usage(fmt.Errorf("%s: neither its registry nor this engine has it: %w; push it with: coinbench images push", name, err))
		}
		all = append(all, found.ID)
	}
	return all, nil
}
