package live

import (
	"embed"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

//go:embed page
var page embed.FS

// Limits of a Server.
const (
	maxStreams = 16
	heartbeat  = 10 * time.Second
	writeTime  = 5 * time.Second // for a client to take what it was sent
)

// TokenHeader carries the token with which a stream is asked for.
const TokenHeader = "X-Coinbench-Token"

// Config is what a Server needs besides the feed.
type Config struct {
	Hosts []string // names under which it may be asked, besides those of this machine; without ports
	Token string   // what a page must know to be sent anything; "": nothing

	Controls *Controls // nil: there is no route that changes anything
	Framed   bool      // a page from the same address may show it in a frame
}

// Handler serves the page and its frames, and controls if there are any. It answers only under names that are its own: another site's page
// cannot come by a name that it makes point here (DNS rebinding).
func (f *Feed) Handler(c Config) http.Handler {
	mux := http.NewServeMux()
	Files(mux, page, map[string]string{
		"": "text/html; charset=utf-8", "live.css": "text/css; charset=utf-8", "live.js": "text/javascript; charset=utf-8",
		"chart.js": "text/javascript; charset=utf-8", "controls.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml",
	})
	slots := make(chan struct{}, maxStreams)
	known := func(h http.HandlerFunc) http.HandlerFunc {
		return LockedBy(func(r *http.Request) bool { return c.Token == "" || c.Controls.knows(r) || Holds(r, c.Token) }, h)
	}
	mux.HandleFunc("GET /stream", known(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			var offer any
			if c.Controls.knows(r) {
				offer = c.Controls.Offer()
			}
			f.stream(w, r, offer)
		default:
			w.Header().Set("Retry-After", "10")
			http.Error(w, fmt.Sprintf("%d pages are open: close one", maxStreams), http.StatusServiceUnavailable)
		}
	}))
	mux.HandleFunc("GET /frames", known(func(w http.ResponseWriter, r *http.Request) {
		frames, _ := f.After(r.URL.Query().Get("after"))
		all := []json.RawMessage{}
		for _, m := range frames {
			all = append(all, m.Data)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(all)
	}))
	if c.Controls != nil {
		c.Controls.routes(mux)
	}
	if c.Framed {
		return guard(c.Hosts, mux, "'self'", "SAMEORIGIN")
	}
	return Guard(c.Hosts, mux)
}

// Guard refuses what no page of ours asks, and tells browsers what a page of ours may do; no page may show it in a frame.
func Guard(hosts []string, next http.Handler) http.Handler {
	return guard(hosts, next, "'none'", "DENY")
}

// guard is Guard with who may show the page in a frame, as of frame-ancestors and of X-Frame-Options.
func guard(hosts []string, next http.Handler, ancestors, frameOptions string) http.Handler {
	next = OwnHost(http.NewCrossOriginProtection().Handler(next), hosts, "--live-host NAME adds one")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
				"base-uri 'none'; form-action 'none'; frame-src 'self'; frame-ancestors " + ancestors + "; " +
				"require-trusted-types-for 'script'; trusted-types 'none'",
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": frameOptions,
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			w.Header().Set(name, value)
		}
		next.ServeHTTP(w, r)
	})
}

// OwnHost refuses requests whose Host is neither an address, nor localhost, nor one of some names, and says what to do
// instead: a page of another site has a browser ask under a name of its own, which it made lead here.
func OwnHost(next http.Handler, names []string, instead string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		host = strings.TrimSuffix(strings.Trim(host, "[]"), ".")
		own := func(name string) bool { return name != "" && strings.EqualFold(host, name) }
		if _, err := netip.ParseAddr(host); err != nil && !own("localhost") && !slices.ContainsFunc(names, own) {
			http.Error(w, "this is not a name of this server: "+instead, http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// stream sends frames as server-sent events, each with its id, from the one after Last-Event-ID on. A client that does not take them is
// let go; it comes back with the id of the last one that it had. Who has controls is sent first what they offer.
func (f *Feed) stream(w http.ResponseWriter, r *http.Request, offer any) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // of a proxy that would keep them
	control := http.NewResponseController(w)
	send := func(format string, args ...any) bool {
		_ = control.SetWriteDeadline(time.Now().Add(writeTime)) // what has no deadlines is no connection
		_, err := fmt.Fprintf(w, format, args...)
		return err == nil && control.Flush() == nil
	}
	if offer != nil {
		if data, err := json.Marshal(offer); err != nil || !send("event: controls\ndata: %s\n\n", data) {
			return
		}
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	id := r.Header.Get("Last-Event-ID")
	for {
		frames, more := f.After(id)
		for _, m := range frames {
			if id = m.ID; !send("event: frame\nid: %s\ndata: %s\n\n", m.ID, m.Data) {
				return
			}
		}
		if more == nil {
			send("event: end\ndata: {}\n\n")
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-more:
		case <-beat.C:
			if !send(": still here\n\n") {
				return
			}
		}
	}
}

// NewServer serves a handler to pages that may be slow, and to nobody who only holds connections.
func NewServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
}
