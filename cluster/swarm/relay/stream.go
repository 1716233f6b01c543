package relay

import (
	"errors"
	"io"
	"net"
	"sync"
)

// Stream makes a connection, deadlines included, of a reader and a writer. Closing it calls closed once; so does the end of
// either.
func Stream(r io.Reader, w io.Writer, closed func()) net.Conn {
	near, far := net.Pipe()
	var once sync.Once
	end := func() {
		once.Do(func() {
			far.Close()
			if closed != nil {
				closed()
			}
		})
	}
	go func() {
		_, _ = io.Copy(far, r)
		end()
	}()
	go func() {
		_, _ = io.Copy(w, far)
		end()
	}()
	return near
}

// once is a listener with one connection: Accept blocks for a second one until the first is closed.
type once struct {
	conns chan net.Conn
	ended chan struct{}
	stop  sync.Once
}

func newOnce(c net.Conn) *once {
	l := &once{conns: make(chan net.Conn, 1), ended: make(chan struct{})}
	l.conns <- &tracked{Conn: c, closed: func() { l.Close() }}
	return l
}

var errEnded = errors.New("the stream has ended")

// Accept returns the connection.
func (l *once) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.ended:
		return nil, errEnded
	}
}

// Close ends the listener.
func (l *once) Close() error {
	l.stop.Do(func() { close(l.ended) })
	return nil
}

// Addr is not of a network.
func (l *once) Addr() net.Addr { return &net.UnixAddr{Name: "stdio"} }

type tracked struct {
	net.Conn
	closed func()
}

// Close tells the listener.
func (t *tracked) Close() error {
	t.closed()
	return t.Conn.Close()
}
