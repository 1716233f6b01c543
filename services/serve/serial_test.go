package serve

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Whatever a client sends, a serial server answers in HTTP/1.0 or says nothing, and closes.
func FuzzExchange(f *testing.F) {
	for _, seed := range []string{
		"", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
		"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "GET", "GET / HTTP/9.9\r\n\r\n", "\r\n\r\n", "GET " +
			"http://a/b HTTP/1.1\r\nA: b\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	m := newMetrics(prometheus.NewRegistry(), 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, r.URL.Path)
	})
	f.Fuzz(func(t *testing.T, request []byte) {
		client, server := net.Pipe()
		client.SetDeadline(time.Now().Add(30 * time.Second))
		done := make(chan struct{})
		go func() {
			defer close(done)
			exchange(server, time.Second, m, handler)
		}()
		go func() {
			client.Write(request)
			if len(request) == 0 {
				client.Close()
			}
		}()
		answer, err := io.ReadAll(client)
		client.Close()
		<-done
		if len(answer) > 0 && !strings.HasPrefix(string(answer), "HTTP/1.0 ") {
			t.Errorf("%q, %v", answer, err)
		}
	})
}
