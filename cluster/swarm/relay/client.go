package relay

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
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
	stop := context.AfterFunc(ctx, end) // until the connection stands; it outlives ctx
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

// Meeting is one that has begun: the generators are under way.
type Meeting struct {
	feed *io.PipeWriter
	end  func()
}

// Stop tells every generator to stop.
func (m *Meeting) Stop() { _ = json.NewEncoder(m.feed).Encode(stopWord) }

// Close ends the meeting. It stops nobody.
func (m *Meeting) Close() {
	m.feed.Close()
	m.end()
}

// Gather waits until a generator has come for each work, gives them their works and lets them go together: they begin after
// delay. came is told of everyone who comes, by number and by what he said of himself.
func (c *Client) Gather(ctx context.Context, name string, work [][]byte, origin time.Time, delay time.Duration,
	came func(copy int, who string)) (_ *Meeting, err error) {
	up, feed := io.Pipe()
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, end)
	defer stop()
	m := &Meeting{feed: feed, end: end}
	defer func() {
		if err != nil {
			m.Close()
		}
	}()
	answer, err := c.do(life, "/meeting?name="+url.QueryEscape(name), "", up)
	if err != nil {
		return nil, err
	}
	m.end = func() {
		end()
		answer.Body.Close()
	}
	lines := bufio.NewScanner(answer.Body)
	next := func() error {
		if lines.Scan() {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return errors.Join(errors.New("the relay ended"), lines.Err())
	}
	for range work {
		if err := next(); err != nil {
			return nil, err
		}
		number, who, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("the relay said %q", lines.Text())
		}
		came(n, who)
	}
	if err := json.NewEncoder(feed).Encode(ticket{Elapsed: time.Since(origin), Delay: delay, Work: work}); err != nil {
		return nil, err
	}
	return m, next()
}
