package loadgen

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"coinbench/history"
)

// prepared is a Target, ready to be sent.
type prepared struct {
	target Target
	url    *url.URL
	wire   []byte // HTTP/1.1 in the clear: the whole request
	addr   int    // place in engine.addrs
	head   bool   // HEAD: the answer has no body, whatever its header says

	connect bool // CONNECT: behind the header of a good answer comes another protocol
	close   bool // the request says that it is the last one of its connection
}

// parseURL accepts absolute http and https URLs with a host.
func parseURL(text string) (*url.URL, error) {
	u, err := parseAnyURL(text)
	if err == nil && u.Scheme == "socks5" {
		err = fmt.Errorf("%q is not an http or https URL", text)
	}
	return u, err
}

// parseAnyURL accepts what a proxy may have as well: socks5.
func parseAnyURL(text string) (*url.URL, error) {
	for i, c := range []byte(text) {
		switch {
		case c == ' ' || c == '\t':
			return nil, fmt.Errorf("%q has a blank in it, at its byte %d: write it as %%20", text, i+1)
		case c < ' ' || c == 0x7f:
			return nil, fmt.Errorf("%q has a control character in it, at its byte %d", text, i+1)
		}
	}
	if !strings.Contains(text, "://") {
		return nil, fmt.Errorf("%q is not an http or https URL: write it like http://127.0.0.1:8001/32", text)
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" {
		return nil, fmt.Errorf("%q is not an http or https URL: write it like http://127.0.0.1:8001/32", text)
	}
	if u.Hostname() == "" {
		return nil, fmt.Errorf("%q names no host", text)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return nil, fmt.Errorf("%q: the port must be from 1 to 65535", text)
		}
	}
	return u, nil
}

// parseProxy accepts the URL of a proxy.
func parseProxy(text string) (*url.URL, error) {
	scheme, _, found := strings.Cut(text, "://")
	if !found || !slices.Contains([]string{"http", "https", "socks5"}, strings.ToLower(scheme)) {
		return nil, fmt.Errorf("proxy: %q is not the URL of an HTTP or SOCKS5 proxy: write it like http://127.0.0.1:3128 or "+
			"socks5://127.0.0.1:1080",
			history.MaskText(text))
	}
	u, err := parseAnyURL(text)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	return u, nil
}

// hostPort is the address that a URL's connection goes to.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func validMethod(m string) bool {
	return m != "" && !strings.ContainsFunc(m, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	})
}

// headerOf is the first value of a header, however its name is spelled, with that spelling.
func headerOf(h http.Header, name string) (spelled, value string) {
	for _, k := range sortedKeys(h) {
		if strings.EqualFold(k, name) && len(h[k]) > 0 {
			return k, h[k][0]
		}
	}
	return "", ""
}

// sortedKeys makes the order of a map's entries always the same.
func sortedKeys[M ~map[string]V, V any](m M) []string { return slices.Sorted(maps.Keys(m)) }

// connectionOptions are the elements of a target's Connection headers.
func connectionOptions(h http.Header) (options []string) {
	for _, k := range sortedKeys(h) {
		if !strings.EqualFold(k, "Connection") {
			continue
		}
		for _, v := range h[k] {
			for option := range elements([]byte(v)) {
				options = append(options, string(option))
			}
		}
	}
	return options
}

// saysClose tells whether a target's own headers make its request the last one of its connection.
func saysClose(h http.Header) bool {
	return slices.ContainsFunc(connectionOptions(h), func(o string) bool { return strings.EqualFold(o, "close") })
}

// framing are the headers that the generator writes itself, because how a request ends depends on them.
var framing = []string{"Content-Length", "Transfer-Encoding"}

// notSent says which of a target's headers are not sent as they are given, and why.
func notSent(t Target, u *url.URL, perRequest, http2 bool) (notes []string) {
	for _, k := range sortedKeys(t.Header) {
		switch {
		case slices.ContainsFunc(framing, func(f string) bool { return strings.EqualFold(k, f) }):
			notes = append(notes, fmt.Sprintf("the header %s is not sent as given: it follows from the body", k))
		case http2 && slices.ContainsFunc(hopByHop, func(f string) bool { return strings.EqualFold(k, f) }):
			notes = append(notes, fmt.Sprintf("the header %s is not sent over HTTP/2, which has no such header", k))
		case strings.EqualFold(k, "Connection") && perRequest && !saysClose(t.Header):
			notes = append(notes, fmt.Sprintf("the header %s is sent with close: every request has a new connection", k))
		case strings.EqualFold(k, "Authorization") && u.User != nil:
			notes = append(notes, "the URL's user and password are not sent: there is an "+k+" header")
		}
	}
	return notes
}

// hopByHop are headers of a connection, which HTTP/2 must not have (RFC 9113, section 8.2.2).
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Upgrade"}

// wireRequest is the request as it goes over an HTTP/1.1 connection. Headers are sorted, so that it is always the same.
func wireRequest(t Target, u *url.URL, closeAfter bool) []byte {
	var b bytes.Buffer
	name, host := headerOf(t.Header, "Host")
	if host == "" {
		name, host = "Host", u.Host
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n%s: %s\r\n", t.Method, u.RequestURI(), name, host)
	if name, _ := headerOf(t.Header, "User-Agent"); name == "" {
		b.WriteString("User-Agent: coinbench\r\n")
	}
	own := closeAfter && !saysClose(t.Header) // our own Connection: close
	for _, k := range sortedKeys(t.Header) {
		switch http.CanonicalHeaderKey(k) {
		case "Host", "Content-Length", "Transfer-Encoding":
			continue
		case "Connection":
			if own {
				continue
			}
		}
		for _, v := range t.Header[k] {
			fmt.Fprintf(&b, "%s: %s\r\n", k, v)
		}
	}
	if name, _ := headerOf(t.Header, "Authorization"); u.User != nil && name == "" {
		r := http.Request{Header: http.Header{}}
		pass, _ := u.User.Password()
		r.SetBasicAuth(u.User.Username(), pass)
		fmt.Fprintf(&b, "Authorization: %s\r\n", r.Header.Get("Authorization"))
	}
	if len(t.Body) > 0 || t.Method == "POST" || t.Method == "PUT" || t.Method == "PATCH" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(t.Body))
	}
	if own {
		options := slices.DeleteFunc(connectionOptions(t.Header), func(o string) bool { return strings.EqualFold(o, "keep-alive") })
		fmt.Fprintf(&b, "Connection: %s\r\n", strings.Join(append(options, "close"), ", "))
	}
	b.WriteString("\r\n")
	b.Write(t.Body)
	return b.Bytes()
}
