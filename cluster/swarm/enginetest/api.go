package enginetest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"

	"coinbench/cluster/swarm/relay"
)

// handler answers the API.
func (e *Engine) handler() http.Handler {
	mux := http.NewServeMux()
	on := func(pattern string, answer func(r *http.Request) (int, any)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			e.mu.Lock()
			status, body := answer(r)
			text, err := json.Marshal(body)
			e.mu.Unlock()
			if err != nil {
				status, text = http.StatusInternalServerError, []byte(err.Error())
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			if body != nil {
				_, _ = w.Write(text)
			}
		})
	}
	missing := func(what string) (int, any) {
		return http.StatusNotFound, map[string]string{"message": "no such " + what}
	}
	ok := func(body any) (int, any) { return http.StatusOK, body }
	on("GET /info", func(*http.Request) (int, any) {
		return ok(system.Info{Name: "node1", Swarm: swarm.Info{NodeID: "n1", LocalNodeState: swarm.LocalNodeStateActive, ControlAvailable: true}})
	})
	e.depot(on, missing)
	on("GET /networks", func(r *http.Request) (int, any) {
		list := []network.Summary{}
		for id, n := range e.networks {
			if matches(r, n.labels, "") {
				list = append(list, network.Summary{Network: network.Network{ID: id, Name: n.name, Labels: n.labels}})
			}
		}
		return ok(list)
	})
	on("POST /networks/create", func(r *http.Request) (int, any) {
		var asked network.CreateRequest
		_ = json.NewDecoder(r.Body).Decode(&asked)
		id := e.id()
		e.networks[id] = named{asked.Name, asked.Labels}
		return http.StatusCreated, network.CreateResponse{ID: id}
	})
	on("GET /networks/{id}", func(r *http.Request) (int, any) {
		id := r.PathValue("id")
		if n, there := e.networks[id]; there {
			return ok(network.Inspect{Network: network.Network{ID: id, Name: n.name, Labels: n.labels}})
		}
		return missing("network")
	})
	on("DELETE /networks/{id}", func(r *http.Request) (int, any) {
		delete(e.networks, r.PathValue("id"))
		return http.StatusNoContent, nil
	})
	on("GET /nodes", func(*http.Request) (int, any) { return ok(e.nodes) })
	node := func(r *http.Request) *swarm.Node {
		i := slices.IndexFunc(e.nodes, func(n *swarm.Node) bool { return n.ID == r.PathValue("id") })
		if i < 0 {
			return nil
		}
		return e.nodes[i]
	}
	on("GET /nodes/{id}", func(r *http.Request) (int, any) {
		if n := node(r); n != nil {
			return ok(n)
		}
		return missing("node")
	})
	on("POST /nodes/{id}/update", func(r *http.Request) (int, any) {
		n := node(r)
		if n == nil {
			return missing("node")
		}
		n.Spec = swarm.NodeSpec{}
		_ = json.NewDecoder(r.Body).Decode(&n.Spec)
		for _, t := range e.tasks {
			if t.wanted() && t.NodeID == n.ID && n.Spec.Availability == swarm.NodeAvailabilityDrain {
				t.end(swarm.TaskStateShutdown)
			}
		}
		for _, s := range e.services {
			e.reconcile(s)
		}
		return ok(nil)
	})
	find := func(r *http.Request) *service {
		i := slices.IndexFunc(e.services, func(s *service) bool { return s.ID == r.PathValue("id") || s.Spec.Name == r.PathValue("id") })
		if i < 0 {
			return nil
		}
		return e.services[i]
	}
	on("GET /services", func(r *http.Request) (int, any) {
		list := []swarm.Service{}
		for _, s := range e.services {
			if matches(r, s.Spec.Labels, "") {
				list = append(list, s.Service)
			}
		}
		return ok(list)
	})
	on("POST /services/create", func(r *http.Request) (int, any) {
		s := &service{}
		_ = json.NewDecoder(r.Body).Decode(&s.Spec)
		s.ID = e.id()
		if s.Spec.EndpointSpec == nil {
			s.Spec.EndpointSpec = &swarm.EndpointSpec{}
		}
		s.Endpoint.Ports = s.Spec.EndpointSpec.Ports
		e.services = append(e.services, s)
		e.reconcile(s)
		return http.StatusCreated, swarm.ServiceCreateResponse{ID: s.ID}
	})
	on("GET /services/{id}", func(r *http.Request) (int, any) {
		if s := find(r); s != nil {
			return ok(s.Service)
		}
		return missing("service")
	})
	on("POST /services/{id}/update", func(r *http.Request) (int, any) {
		s := find(r)
		if s == nil {
			return missing("service")
		}
		if r.URL.Query().Get("version") != fmt.Sprint(s.Version.Index) {
			return http.StatusInternalServerError, map[string]string{"message": "rpc error: code = Unknown desc = update out of sequence"}
		}
		var spec swarm.ServiceSpec
		_ = json.NewDecoder(r.Body).Decode(&spec)
		e.update(s, spec)
		return ok(swarm.ServiceUpdateResponse{})
	})
	on("DELETE /services/{id}", func(r *http.Request) (int, any) {
		s := find(r)
		if s == nil {
			return missing("service")
		}
		s.roll++
		e.services = slices.DeleteFunc(e.services, func(x *service) bool { return x == s })
		for _, t := range e.current(s) {
			t.end(swarm.TaskStateRemove)
		}
		return ok(nil)
	})
	on("GET /tasks", func(r *http.Request) (int, any) {
		list := []swarm.Task{}
		for _, t := range e.tasks {
			labels := map[string]string{}
			if t.Spec.ContainerSpec.Labels != nil {
				labels = t.Spec.ContainerSpec.Labels
			}
			over := !slices.Contains(e.services, t.of) && t.Status.State == swarm.TaskStateShutdown
			if !over && (matches(r, labels, t.ServiceID) || matches(r, t.of.Spec.Labels, t.ServiceID)) {
				list = append(list, t.Task)
			}
		}
		return ok(list)
	})
	on("GET /containers/json", func(r *http.Request) (int, any) {
		list := []api.Summary{}
		for id, c := range e.containers {
			if matches(r, c.labels, "") {
				list = append(list, api.Summary{ID: id, Labels: c.labels})
			}
		}
		return ok(list)
	})
	on("POST /containers/create", func(r *http.Request) (int, any) {
		var asked api.Config
		_ = json.NewDecoder(r.Body).Decode(&asked)
		id := e.id()
		e.containers[id] = &container{id: id, ip: "10.1.255.1", labels: asked.Labels}
		return http.StatusCreated, api.CreateResponse{ID: id}
	})
	on("POST /containers/{id}/start", func(r *http.Request) (int, any) {
		c := e.containers[r.PathValue("id")]
		if c == nil || c.conn == nil {
			return missing("container")
		}
		ctx, end := context.WithCancel(e.life)
		c.end = end
		go func() {
			_ = relay.Inside{Dial: e.dial, Lookup: e.lookup}.Serve(ctx, c.conn, framed{c.conn})
			c.conn.Close()
		}()
		return http.StatusNoContent, nil
	})
	on("GET /containers/{id}/json", func(r *http.Request) (int, any) {
		c := e.containers[r.PathValue("id")]
		if c == nil {
			return missing("container")
		}
		networks := map[string]*network.EndpointSettings{}
		for _, n := range e.networks {
			networks[n.name] = &network.EndpointSettings{IPAddress: netip.MustParseAddr(c.ip)}
		}
		return ok(api.InspectResponse{ID: c.id, NetworkSettings: &api.NetworkSettings{Networks: networks}})
	})
	on("POST /containers/{id}/kill", func(r *http.Request) (int, any) {
		for _, t := range e.tasks {
			if t.c != nil && t.c.id == r.PathValue("id") {
				t.c.kill()
				return http.StatusNoContent, nil
			}
		}
		return missing("container")
	})
	on("DELETE /containers/{id}", func(r *http.Request) (int, any) {
		c := e.containers[r.PathValue("id")]
		if c == nil {
			return missing("container")
		}
		delete(e.containers, c.id)
		if c.end != nil {
			c.end()
			c.conn.Close()
		}
		return http.StatusNoContent, nil
	})
	mux.HandleFunc("POST /containers/{id}/attach", e.attach)
	logs := func(w http.ResponseWriter, r *http.Request, of func(*task) bool) {
		follow := r.URL.Query().Get("follow") == "1"
		w.Header().Set("Content-Type", "application/vnd.docker.multiplexed-stream")
		w.WriteHeader(http.StatusOK)
		flush := func() { _ = http.NewResponseController(w).Flush() }
		flush()
		for {
			e.mu.Lock()
			i := slices.IndexFunc(e.tasks, func(t *task) bool { return of(t) && t.c != nil })
			var t *task
			if i >= 0 {
				t = e.tasks[i]
			}
			e.mu.Unlock()
			if t != nil {
				ctx, stop := context.WithCancel(t.stopped)
				defer stop()
				defer context.AfterFunc(r.Context(), stop)()
				e.follow(ctx, t.c, w, flush, follow)
				return
			}
			if !follow || !sleep(r.Context(), prepareTime) {
				return
			}
		}
	}
	mux.HandleFunc("GET /services/{id}/logs", func(w http.ResponseWriter, r *http.Request) {
		logs(w, r, func(t *task) bool { return t.ServiceID == r.PathValue("id") || t.of.Spec.Name == r.PathValue("id") })
	})
	mux.HandleFunc("GET /tasks/{id}/logs", func(w http.ResponseWriter, r *http.Request) {
		logs(w, r, func(t *task) bool { return t.ID == r.PathValue("id") })
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		r.URL.Path = strings.TrimPrefix(r.URL.Path, "/v1.41")
		if r.URL.Path == "/_ping" {
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// attach hands a container's standard streams over.
func (e *Engine) attach(w http.ResponseWriter, r *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	e.mu.Lock()
	if c := e.containers[r.PathValue("id")]; c != nil {
		c.conn = conn
	}
	e.mu.Unlock()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"+
		"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
}

// matches says whether something passes the filters of a request by its labels, and the ID of its service.
func matches(r *http.Request, labels map[string]string, service string) bool {
	var filters map[string]map[string]bool
	if json.Unmarshal([]byte(r.URL.Query().Get("filters")), &filters) != nil {
		return true
	}
	for text := range filters["label"] {
		name, value, equal := strings.Cut(text, "=")
		if is, has := labels[name]; !has || equal && is != value {
			return false
		}
	}
	for id := range filters["service"] {
		if id != service {
			return false
		}
	}
	return true
}
