package loadgen

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// prepared is a Target, ready to be sent.
type prepared struct {
	target Target
	url    *url.URL
	wire   []byte // HTTP/1.1 in the clear: the whole request
	addr   int    // place in engine.addrs
	head   bool   // HEAD: the answer has no body, whatever its header says
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

// wireRequest is the request as it goes over an HTTP/1.1 connection. Headers are sorted, so that it is always the same.
func wireRequest(t Target, u *url.URL, closeAfter bool) []byte {
	var b bytes.Buffer
	host := u.Host
	if h := t.Header.Get("Host"); h != "" {
		host = h
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", t.Method, u.RequestURI(), host)
	if t.Header.Get("User-Agent") == "" {
		b.WriteString("User-Agent: coinbench\r\n")
	}
	keys := make([]string, 0, len(t.Header))
	for k := range t.Header {
		switch http.CanonicalHeaderKey(k) {
		case "Host", "Content-Length", "Transfer-Encoding":
		case "Connection":
			if !closeAfter {
				keys = append(keys, k)
			}
		default:
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		for _, v := range t.Header[k] {
			fmt.Fprintf(&b, "%s: %s\r\n", k, v)
		}
	}
	if user := u.User; user != nil && t.Header.Get("Authorization") == "" {
		r := http.Request{Header: http.Header{}}
		pass, _ := user.Password()
		r.SetBasicAuth(user.Username(), pass)
		fmt.Fprintf(&b, "Authorization: %s\r\n", r.Header.Get("Authorization"))
	}
	if len(t.Body) > 0 || t.Method == "POST" || t.Method == "PUT" || t.Method == "PATCH" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(t.Body))
	}
	if closeAfter {
		b.WriteString("Connection: close\r\n")
	}
	b.WriteString("\r\n")
	b.Write(t.Body)
	return b.Bytes()
}
