package relay

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"coinbench/cluster/host"
)

// MeetingPort is where the copies of jobs meet, in the relay's container: inside the overlay only.
const MeetingPort = "8083"

const (
	addressHeader = "X-Relay-Address"
	errorHeader   = "X-Relay-Error"
	dialTimeout   = 10 * time.Second
)

// Inside is how a relay reaches others.
type Inside struct {
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Lookup func(ctx context.Context, host string) (addresses []string, err error)
}

// Serve is the relay on a machine: see Inside.Serve.
func Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	return Inside{new(net.Dialer).DialContext, net.DefaultResolver.LookupHost}.Serve(ctx, in, out)
}

// Serve is the relay: it answers what comes in until the input ends or ctx is done.
func (n Inside) Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	mux := http.NewServeMux()
	mux.HandleFunc("/dial", n.dial)
	mux.HandleFunc("/resolve", n.resolve)
	mux.HandleFunc("/host", machine)

	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	l := newOnce(Stream(in, out, nil))
	server := &http.Server{Handler: mux, Protocols: &h2, BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { server.Close(); l.Close() })
	defer stop()
	err := server.Serve(l)
	cancel()
	server.Close()
	if errors.Is(err, errEnded) || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func refuse(w http.ResponseWriter, err error) {
	w.Header().Set(errorHeader, err.Error())
	w.WriteHeader(http.StatusBadGateway)
}

// hostSays is what a relay says of the machine that it runs on.
type hostSays struct {
	Kernel string             `json:"kernel"`
	Values map[string]float64 `json:"values"`
}

// machine tells what the machine's processors did; a container sees the machine's own counters.
func machine(w http.ResponseWriter, _ *http.Request) {
	_ = json.NewEncoder(w).Encode(hostSays{host.Kernel(), host.Counters()})
}

// dial passes a connection on.
func (n Inside) dial(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), dialTimeout)
	defer cancel()
	conn, err := n.Dial(ctx, "tcp", r.Header.Get(addressHeader))
	if err != nil {
		refuse(w, err)
		return
	}
	defer conn.Close()
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	if control.Flush() != nil {
		return
	}
	go func() {
		_, err := io.Copy(conn, r.Body)
		if c, ok := conn.(*net.TCPConn); ok && err == nil {
			_ = c.CloseWrite()
		} else {
			conn.Close()
		}
	}()
	buffer := make([]byte, 32<<10)
	for {
		read, err := conn.Read(buffer)
		if read > 0 {
			if _, werr := w.Write(buffer[:read]); werr != nil || control.Flush() != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// resolve looks a name up where the app does.
func (n Inside) resolve(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), dialTimeout)
	defer cancel()
	addresses, err := n.Lookup(ctx, r.URL.Query().Get("name"))
	if err != nil {
		refuse(w, err)
		return
	}
	_ = json.NewEncoder(w).Encode(addresses)
}
