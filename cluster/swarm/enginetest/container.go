package enginetest

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"coinbench/cluster"
	"coinbench/services/settings"
)

// container is what a task, or a relay, runs.
type container struct {
	id, ip  string
	spec    cluster.Service
	exit    chan int // its own end, or a kill
	replica string

	mu       sync.Mutex
	frozen   chan struct{} // closed when it goes on; nil: it is not frozen
	output   string
	upstream string // of a gateway
	asked    int

	addresses []string

	// of a relay
	labels map[string]string
	conn   net.Conn
	end    context.CancelFunc
}

// open starts what a task runs. The caller holds mu.
func (e *Engine) open(t *task) *container {
	e.number++
	c := &container{id: fmt.Sprintf("%064x", e.number), ip: fmt.Sprintf("10.1.%d.%d", e.number/250, e.number%250+1),
		spec: plain(t.Spec.ContainerSpec),
		exit: make(chan int, 1)}
	c.replica = strings.NewReplacer("{{.Task.Slot}}", fmt.Sprint(t.Slot), "{{.Node.Hostname}}", t.NodeID).Replace(
		c.spec.Environment["COIN_REPLICA"])
	args := t.Spec.ContainerSpec.Args
	switch kind := cluster.ParseImage(c.spec.Image).Kind; {
	case len(args) > 0 && args[0] == "--version":
		c.exit <- 0
		return c
	case len(args) > 1 && strings.HasSuffix(args[0], "-container"):
		e.lives.Go(func() { e.act(t, c, args) })
		return c
	case kind == "" && len(args) == 2 && args[0] == "service":
		c.spec.Image = "coinbench/" + args[1] + ":v0.1"
	}
	listen, admin := c.spec.Listens()
	if len(args) > 0 && args[0] == "registry" {
		listen, admin = 5000, 0
	}
	serve := func(port int, handle func(net.Conn)) {
		if port > 0 {
			address := fmt.Sprintf("%s:%d", c.ip, port)
			c.addresses = append(c.addresses, address)
			e.listeners[address] = handle
		}
	}
	switch cluster.ParseImage(c.spec.Image).Kind {
	case cluster.Redis:
		serve(listen, redis)
	case settings.Gateway:
		c.upstream, _, _ = strings.Cut(c.spec.Environment["COIN_UPSTREAM"], ",")
		serve(listen, func(conn net.Conn) { e.pass(c, conn) })
		serve(admin, c.http)
	default:
		c.output = c.replica + " listens\n" + e.Prints
		serve(listen, c.http)
		serve(admin, c.http)
	}
	return c
}

// close ends what a container has. The caller holds mu.
func (e *Engine) close(c *container) {
	for _, address := range c.addresses {
		delete(e.listeners, address)
	}
	c.thaw()
}

func (c *container) thaw() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frozen != nil {
		close(c.frozen)
		c.frozen = nil
	}
}

// kill ends a container as by SIGKILL.
func (c *container) kill() {
	select {
	case c.exit <- 137:
	default:
	}
}

// act is a job that does something to another container of its node.
func (e *Engine) act(t *task, c *container, args []string) {
	e.mu.Lock()
	var victim *container
	for _, x := range e.tasks {
		if x.c != nil && x.c.id == args[1] {
			victim = x.c
		}
	}
	e.mu.Unlock()
	if victim == nil {
		c.exit <- 1
		return
	}
	if args[0] == "kill-container" {
		victim.kill()
		c.exit <- 0
		return
	}
	victim.mu.Lock()
	victim.frozen = make(chan struct{})
	victim.mu.Unlock()
	c.mu.Lock()
	c.output = "paused\n"
	c.mu.Unlock()
	<-t.stopped.Done()
	victim.thaw()
}

// http answers requests of one connection.
func (c *container) http(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		c.asked++
		asked, frozen := c.asked, c.frozen
		if r.Method == http.MethodPut {
			c.upstream = string(body)
		}
		c.mu.Unlock()
		if frozen != nil {
			<-frozen
		}
		text := "ok\n"
		if r.URL.Path == "/metrics" {
			text = fmt.Sprintf("coinbench_requests_total{code=\"200\",method=\"GET\"} %d\nprocess_cpu_seconds_total 1\n", asked)
		}
		answer := http.Response{StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: int64(len(text)),
			Body: io.NopCloser(strings.NewReader(text)), Header: http.Header{"Content-Type": {"text/plain; version=0.0.4"},
				"X-Coinbench-Replica": {c.replica}, "X-Coinbench-Version": {c.spec.Effective()["COIN_VERSION"]}}}
		if answer.Write(conn) != nil {
			return
		}
	}
}

// redis knows no key.
func redis(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	line := func() string {
		text, err := in.ReadString('\n')
		if err != nil {
			return ""
		}
		return strings.TrimSpace(text)
	}
	answers := make(chan string, 100)
	defer close(answers)
	go func() { // a client may write its next commands before it reads
		for text := range answers {
			_, _ = io.WriteString(conn, text)
		}
	}()
	for {
		n, err := strconv.Atoi(strings.TrimPrefix(line(), "*"))
		if err != nil {
			return
		}
		command := ""
		for i := range n {
			line() // its length
			if word := line(); i == 0 {
				command = strings.ToUpper(word)
			}
		}
		switch command {
		case "GET":
			answers <- "$-1\r\n"
		case "HLEN":
			answers <- ":0\r\n"
		default:
			answers <- "-ERR unknown command\r\n"
		}
	}
}

// pass is a gateway's connection.
func (e *Engine) pass(c *container, conn net.Conn) {
	defer conn.Close()
	c.mu.Lock()
	upstream := c.upstream
	c.mu.Unlock()
	to, err := e.dial(e.life, "tcp", upstream)
	if err != nil {
		return
	}
	defer to.Close()
	go func() {
		_, _ = io.Copy(to, conn)
		to.Close()
	}()
	_, _ = io.Copy(conn, to)
}

// healthy is a check by what a container would run: `healthcheck URL`.
func (e *Engine) healthy(c *container, test []string) bool {
	u, err := url.Parse(test[len(test)-1])
	if err != nil || u.Host == "" {
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.listeners[c.ip+":"+u.Port()] != nil
}

// lookup is the overlay's DNS: the tasks of a service, by the alias that it has there.
func (e *Engine) lookup(_ context.Context, host string) (addresses []string, err error) {
	if net.ParseIP(host) != nil {
		return []string{host}, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.tasks {
		if t.Status.State != swarm.TaskStateRunning || !t.wanted() || time.Since(t.running) < e.Gossip {
			continue
		}
		for _, n := range t.Spec.Networks {
			for _, alias := range n.Aliases {
				if alias == strings.TrimPrefix(host, "tasks.") {
					addresses = append(addresses, t.c.ip)
				}
			}
		}
	}
	if len(addresses) == 0 {
		return nil, fmt.Errorf("lookup %s: no such host", host)
	}
	return addresses, nil
}

// dial connects to what listens in the overlay.
func (e *Engine) dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addresses, err := e.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.turns++
	handle := e.listeners[net.JoinHostPort(addresses[e.turns%len(addresses)], port)]
	e.mu.Unlock()
	if handle == nil {
		return nil, fmt.Errorf("dial %s: %w", address, syscall.ECONNREFUSED)
	}
	near, far := net.Pipe()
	go handle(far)
	return near, nil
}

// framed writes standard output as an engine's streams carry it.
type framed struct{ to io.Writer }

// Write writes one frame.
func (f framed) Write(p []byte) (int, error) {
	header := [8]byte{1}
	binary.BigEndian.PutUint32(header[4:], uint32(len(p)))
	if _, err := f.to.Write(append(header[:], p...)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// follow writes what a container prints until it ends.
func (e *Engine) follow(ctx context.Context, c *container, w io.Writer, flush func(), on bool) {
	for done := 0; ; {
		c.mu.Lock()
		text := c.output[done:]
		c.mu.Unlock()
		if text != "" {
			_, _ = framed{w}.Write([]byte(text))
			flush()
			done += len(text)
		}
		if !on || !sleep(ctx, 20*time.Millisecond) {
			return
		}
	}
}
