package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
)

// Client is the harness's end.
type Client struct {
	http  *http.Client
	conn  net.Conn
	once  sync.Once
	ended chan struct{}
}

// NewClient speaks to a relay over a connection to its standard streams, and closes it at the end.
func NewClient(conn net.Conn) *Client {
	c := &Client{conn: conn, ended: make(chan struct{})}
	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	first := make(chan net.Conn, 1)
	first <- &tracked{Conn: conn, closed: c.end}
	c.http = &http.Client{Transport: &http.Transport{Protocols: &h2, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		select {
		case conn := <-first:
			return conn, nil
		default:
		}
		select { // a request that is made while the one connection is being set up gets that one
		case <-c.ended:
			return nil, errEnded
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}}}
	return c
}

func (c *Client) end() { c.once.Do(func() { close(c.ended) }) }

// Ended is closed when the relay cannot be reached any more.
func (c *Client) Ended() <-chan struct{} { return c.ended }

// Close ends the relay.
func (c *Client) Close() error {
	err := c.conn.Close()
	c.end()
	c.http.CloseIdleConnections()
	return err
}

func (c *Client) do(ctx context.Context, path string, address string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://relay"+path, body)
	if err != nil {
		return nil, err
	}
	if address != "" {
		request.Header.Set(addressHeader, address)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		return nil, fmt.Errorf("inside the overlay: %s", answer.Header.Get(errorHeader))
	}
	return answer, nil
}

// Dial connects to an address inside the overlay. Its signature is that of net.Dialer's DialContext.
func (c *Client) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	up, feed := io.Pipe()
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, end) // until the connection is made; it outlives ctx
	answer, err := c.do(life, "/dial", address, up)
	if !stop() && err == nil {
		answer.Body.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		end()
		feed.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return Stream(answer.Body, feed, func() {
		feed.Close()
		end()
		answer.Body.Close()
	}), nil
}

// Resolve returns the addresses of a name, in the order of the answer.
func (c *Client) Resolve(ctx context.Context, name string) ([]string, error) {
	answer, err := c.do(ctx, "/resolve?name="+url.QueryEscape(name), "", nil)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var addresses []string
	err = json.NewDecoder(answer.Body).Decode(&addresses)
	return addresses, err
}

// Host returns the counters of the machine that the relay runs on, in the names of package history, and which kernel that is
// (host.Kernel).
func (c *Client) Host(ctx context.Context) (values map[string]float64, kernel string, err error) {
	answer, err := c.do(ctx, "/host", "", nil)
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	var says hostSays
	err = json.NewDecoder(answer.Body).Decode(&says)
	return says.Values, says.Kernel, err
}
