// Package gateway is a reverse proxy in front of two sets of replicas, blue and green, of which one is served: what makes a
// blue-green release on a cluster whose own balancing cannot be switched.
//
// In come requests, out go requests to the upstream that is in force, each on a connection of its own to an address picked at random
// among those that the upstream's name has then. PUT /upstream on the admin port puts another upstream in force: requests that begin
// later go there, those that have begun end where they are, and a client's connection stays. A connection that cannot be made is tried
// at the upstream's other addresses, which is safe for every method because nothing was sent. A request is never sent twice.
//
// A client that reaches the admin port may switch, between the upstreams of COIN_UPSTREAM only. It must be reachable from the network of
// the app and nowhere else, as those of all services are.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"coinbench/services/serve"
	"coinbench/services/settings"
)

// Run serves until the process is told to stop or ctx is cancelled.
func Run(ctx context.Context, s settings.Settings, p serve.Process) error {
	p = p.WithDefaults()
	g := New(s, serve.Dialer(s, p), net.DefaultResolver.LookupHost)
	g.log = log.New(p.Log, "", log.LstdFlags|log.LUTC)
	return serve.Service{Settings: s, Handler: g, Admin: g.Admin}.Run(ctx, p)
}

// Gateway passes requests on.
type Gateway struct {
	upstreams []string // host:port, the first that has an address is in force until another is put
	hosts     map[string]string
	current   atomic.Pointer[string]
	dial      func(ctx context.Context, network, address string) (net.Conn, error)
	lookup    func(ctx context.Context, host string) ([]string, error)
	proxy     httputil.ReverseProxy
	log       *log.Logger
}

// New returns a gateway that finds addresses by lookup and connects by dial.
func New(s settings.Settings, dial func(ctx context.Context, network, address string) (net.Conn, error),
	lookup func(ctx context.Context, host string) ([]string, error)) *Gateway {
	g := &Gateway{upstreams: s.Upstreams, hosts: s.Hosts, dial: dial, lookup: lookup, log: log.New(io.Discard, "", 0)}
	g.proxy = httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: r.In.Context().Value(upstreamKey{}).(string)})
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		Transport: &http.Transport{DialContext: g.connect, DisableKeepAlives: true, DisableCompression: true,
			ResponseHeaderTimeout: s.ResponseTimeout},
		ErrorLog: log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				panic(http.ErrAbortHandler) // the client has gone
			}
			g.log.Printf("%s %s: %v", r.Method, r.URL.Path, err)
			status := http.StatusBadGateway
			if errors.As(err, new(*unreachable)) {
				status = http.StatusServiceUnavailable // nothing was sent
			}
			http.Error(w, err.Error(), status)
		},
	}
	return g
}

type upstreamKey struct{}

// unreachable is the error of a request that was not sent.
type unreachable struct{ error }

func (u *unreachable) Unwrap() error { return u.error }

// ServeHTTP passes a request on to the upstream that is in force when it begins.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	upstream, err := g.inForce(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	proxied := &nameless{ResponseWriter: w}
	g.proxy.ServeHTTP(proxied, r.WithContext(context.WithValue(r.Context(), upstreamKey{}, upstream)))
}

// nameless is an answer in which the replica that gave it is named instead of the gateway: without it both would.
type nameless struct {
	http.ResponseWriter
	begun bool
}

var names = []string{"X-Coinbench-Replica", "X-Coinbench-Version"}

// WriteHeader leaves the last one of two names.
func (n *nameless) WriteHeader(status int) {
	if !n.begun {
		n.begun = status >= 200
		for _, name := range names {
			if all := n.Header().Values(name); len(all) > 1 {
				n.Header().Set(name, all[len(all)-1])
			}
		}
	}
	n.ResponseWriter.WriteHeader(status)
}

func (n *nameless) Write(b []byte) (int, error) {
	if !n.begun {
		n.WriteHeader(http.StatusOK)
	}
	return n.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (n *nameless) Unwrap() http.ResponseWriter { return n.ResponseWriter }

// inForce is the upstream in force.
func (g *Gateway) inForce(ctx context.Context) (string, error) {
	if u := g.current.Load(); u != nil {
		return *u, nil
	}
	var faults []error
	for _, u := range g.upstreams {
		if _, err := g.addresses(ctx, u); err != nil {
			faults = append(faults, err)
			continue
		}
		g.current.CompareAndSwap(nil, &u)
		return *g.current.Load(), nil
	}
	return "", fmt.Errorf("no upstream has an address: %w", errors.Join(faults...))
}

// addresses are those that an upstream has now, in random order.
func (g *Gateway) addresses(ctx context.Context, upstream string) ([]string, error) {
	if _, known := g.hosts[upstream]; known { // the dialer knows where it is
		return []string{upstream}, nil
	}
	host, port, err := net.SplitHostPort(upstream)
	if err != nil {
		return nil, err
	}
	found, err := g.lookup(ctx, host)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%s has no address", host)
	}
	if err != nil {
		return nil, err
	}
	list := make([]string, len(found))
	for i, n := range rand.Perm(len(found)) {
		list[i] = net.JoinHostPort(found[n], port)
	}
	return list, nil
}

// connect makes a connection to any address of an upstream.
func (g *Gateway) connect(ctx context.Context, network, upstream string) (net.Conn, error) {
	list, err := g.addresses(ctx, upstream)
	if err != nil {
		return nil, &unreachable{err}
	}
	var faults []error
	for _, address := range list {
		conn, err := g.dial(ctx, network, address)
		if err == nil {
			return conn, nil
		}
		if faults = append(faults, err); ctx.Err() != nil {
			break
		}
	}
	return nil, &unreachable{errors.Join(faults...)}
}

// Admin adds GET and PUT /upstream to the admin port. PUT refuses an upstream with fewer addresses than ?addresses=N says.
func (g *Gateway) Admin(mux *http.ServeMux) {
	mux.HandleFunc("GET /upstream", func(w http.ResponseWriter, r *http.Request) {
		u, err := g.inForce(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, u)
	})
	mux.HandleFunc("PUT /upstream", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1024))
		upstream := strings.TrimSpace(string(body))
		if err != nil || !slices.Contains(g.upstreams, upstream) {
			http.Error(w, fmt.Sprintf("upstream %q; accepted: %s", upstream, strings.Join(g.upstreams, ", ")), http.StatusBadRequest)
			return
		}
		least, err := strconv.Atoi(r.URL.Query().Get("addresses"))
		if err != nil || least < 1 {
			least = 1
		}
		list, err := g.addresses(r.Context(), upstream)
		if err == nil && len(list) < least {
			err = fmt.Errorf("%s has %d of %d addresses", upstream, len(list), least)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		g.current.Store(&upstream)
		g.log.Printf("upstream %s is in force", upstream)
		fmt.Fprintln(w, upstream)
	})
}
