package enginetest

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/volume"
)

// depot answers about images and volumes: which images an engine was given, and what it pushes. It keeps their names alone.
func (e *Engine) depot(on func(pattern string, answer func(r *http.Request) (int, any)), missing func(what string) (int, any)) {
	ok := func(body any) (int, any) { return http.StatusOK, body }
	give := func(names ...string) {
		e.images = slices.Compact(slices.Sorted(slices.Values(append(e.images, names...))))
	}
	on("GET /version", func(*http.Request) (int, any) {
		return ok(map[string]string{"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12"})
	})
	on("GET /images/json", func(*http.Request) (int, any) { return ok([]image.Summary{{ID: "sha256:0", RepoTags: e.images}}) })
	on("GET /images/{name...}", func(r *http.Request) (int, any) {
		if name := strings.TrimSuffix(r.PathValue("name"), "/json"); e.Lacks != nil && e.Lacks(name) {
			return missing("image: " + name)
		}
		return ok(map[string]any{"Id": "sha256:0"})
	})
	on("POST /images/create", func(r *http.Request) (int, any) {
		if name := r.URL.Query().Get("fromImage"); e.Lacks != nil && e.Lacks(name) {
			return missing("image: " + name)
		}
		return ok(map[string]string{"status": "pulled"})
	})
	on("POST /images/load", func(r *http.Request) (int, any) {
		names, err := tags(r.Body)
		if err != nil {
			return ok(map[string]string{"error": err.Error()})
		}
		give(names...)
		return ok(map[string]string{"stream": "loaded"})
	})
	on("POST /commit", func(r *http.Request) (int, any) {
		give(r.URL.Query().Get("repo") + ":" + r.URL.Query().Get("tag"))
		return http.StatusCreated, map[string]string{"Id": "sha256:1"}
	})
	on("POST /images/{name...}", func(r *http.Request) (int, any) {
		name, tagging := strings.CutSuffix(r.PathValue("name"), "/tag")
		if tagging {
			give(r.URL.Query().Get("repo") + ":" + r.URL.Query().Get("tag"))
			return http.StatusCreated, nil
		}
		name = strings.TrimSuffix(name, "/push") + ":" + r.URL.Query().Get("tag")
		if e.Refuses != nil {
			if why := e.Refuses(name); why != "" {
				return ok(map[string]any{"errorDetail": map[string]string{"message": why}, "error": why})
			}
		}
		e.pushed = append(e.pushed, name)
		return ok(map[string]any{"aux": map[string]string{"Digest": "sha256:" + strings.Repeat("2", 64)}})
	})
	on("DELETE /images/{name...}", func(r *http.Request) (int, any) {
		i := slices.Index(e.images, r.PathValue("name"))
		if i < 0 {
			return missing("image: " + r.PathValue("name"))
		}
		e.images = slices.Delete(e.images, i, i+1)
		return ok([]image.DeleteResponse{})
	})
	on("POST /volumes/create", func(r *http.Request) (int, any) {
		var v volume.Volume
		_ = json.NewDecoder(r.Body).Decode(&v)
		e.volumes[v.Name] = v
		return http.StatusCreated, v
	})
	on("GET /volumes/{name}", func(r *http.Request) (int, any) {
		if v, there := e.volumes[r.PathValue("name")]; there {
			return ok(v)
		}
		return missing("volume")
	})
	on("DELETE /volumes/{name}", func(r *http.Request) (int, any) {
		delete(e.volumes, r.PathValue("name"))
		return http.StatusNoContent, nil
	})
}

// tags are the names of the images of an archive, as docker save writes them.
func tags(archive io.Reader) (names []string, err error) {
	for in := tar.NewReader(archive); ; {
		file, err := in.Next()
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		if file.Name != "manifest.json" {
			continue
		}
		var list []struct{ RepoTags []string }
		if err := json.NewDecoder(in).Decode(&list); err != nil {
			return nil, err
		}
		for _, x := range list {
			names = append(names, x.RepoTags...)
		}
	}
}

// Left are the names of what an engine still has that Remove and Down take away: services, networks, volumes and images.
func (e *Engine) Left() (names []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.services {
		names = append(names, "service "+s.Spec.Name)
	}
	for _, n := range e.networks {
		names = append(names, "network "+n.name)
	}
	for name := range e.volumes {
		names = append(names, "volume "+name)
	}
	for _, name := range e.images {
		names = append(names, "image "+name)
	}
	slices.Sort(names)
	return names
}

// Pushed are the images that the engine has pushed, in order.
func (e *Engine) Pushed() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.pushed)
}

// Node gives access to one of the nodes, by its number from 1.
func (e *Engine) Node(n int, change func(*swarm.Node)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(e.nodes[n-1])
}
