package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"coinbench/capacity"
	"coinbench/history"
	"coinbench/live"
)

const anyPort = "127.0.0.1:0"

func watchCommand(p process) *cobra.Command {
	v := liveView{address: anyPort}
	c := &cobra.Command{
		Use:   "watch DIR|latest",
		Short: "Show a run in the browser while it is recorded, or afterwards",
		Long: `watch serves one page that shows a run as it is recorded: rates, response times, failures, utilisation, replicas, and what is
judged so far. The run may be another process's, simulated, finished, or one that was killed; nothing of it is changed. latest is the run
below runs/ that was begun last.

It listens on this machine alone. With another address, --listen 0.0.0.0:8080, the page needs the key in the address that is printed.
Ctrl-C ends it.`,
		Example: `  coinbench watch latest
  coinbench watch runs/bottleneck/latest --listen 127.0.0.1:8080`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := p.interruptible()
			defer stop()
			dir := args[0]
			if dir == "latest" {
				var err error
				if dir, err = latestRun(); err != nil {
					return usage(err)
				}
			}
			feed, err := live.Open(dir, judgement(p))
			if err != nil {
				return usage(err)
			}
			if err := v.listen(); err != nil {
				return usage(err)
			}
			defer v.close()
			yieldToOthers() // the run may be measured on this machine
			v.serve(feed)
			fmt.Fprintln(p.stdout, v.url())
			say(p.stderr, "%s is shown there until Ctrl-C", dir)
			feed.Follow(ctx)
			return nil
		},
	}
	c.Flags().StringVar(&v.address, "listen", v.address, "address of the page; port 0: any that is free")
	addHosts(c, &v.hosts)
	return c
}

// latestRun is the folder of the run that was begun last, of those below runs/.
func latestRun() (string, error) {
	found, _ := filepath.Glob(filepath.Join("runs", "*", "*", "manifest.json"))
	latest, newest := "", time.Time{}
	for _, path := range found {
		dir := filepath.Dir(path)
		if info, err := os.Stat(path); err == nil && info.ModTime().After(newest) && filepath.Base(dir) != "latest" {
			latest, newest = dir, info.ModTime()
		}
	}
	if latest == "" {
		return "", errors.New("no run is recorded below runs/ here: name its folder, or begin one: coinbench run smoke")
	}
	return latest, nil
}

// judgement analyses a run that is watched. While it goes on nothing is played on the simulator, and the memory is not limited as that of
// a report is, for this process may be the one that measures.
func judgement(p process) live.Judge {
	return func(dir string, final bool) (*capacity.Analysis, error) {
		if final {
			return analyse(dir)
		}
		run, err := history.Open(dir)
		if err != nil {
			return nil, err
		}
		objectives, err := objectives(run)
		if err != nil {
			return nil, err
		}
		a := capacity.Measure(run, objectives...)
		return &a, nil
	}
}

// liveView is the page of a run: its flags, and then its server.
type liveView struct {
	address string
	hosts   []string

	controls *live.Controls // nil: the page only shows

	listener net.Listener
	token    string // to look at it; "": none is needed
	server   *http.Server
	feed     *live.Feed
	followed func() // ends following and waits for it
}

// show begins to follow a run of this process; nil: it cannot.
func (v *liveView) show(p process, dir string) *live.Feed {
	feed, err := live.Open(dir, judgement(p))
	if err != nil {
		say(p.stderr, "not shown: %v", err) // the run is what matters
		return nil
	}
	v.feed = feed
	v.serve(feed)
	say(p.stderr, "play at %s\nto look on: %s", v.base()+"#"+v.controls.Token, v.url())
	ctx, stop := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() { feed.Follow(ctx) })
	v.followed = func() {
		stop()
		following.Wait()
	}
	return feed
}

// finish shows how the run ended.
func (v *liveView) finish(a *capacity.Analysis) {
	if v.feed != nil {
		v.followed()
		v.feed.Finish(a)
	}
}

func addHosts(c *cobra.Command, hosts *[]string) {
	c.Flags().StringArrayVar(hosts, "live-host", nil, "a name by which the page may be asked for, besides this machine's: a proxy's")
}

// listen takes the address. One that others reach gets a key.
func (v *liveView) listen() (err error) {
	if v.listener, err = net.Listen("tcp", v.address); err != nil {
		return fmt.Errorf("show the run: %w: choose another address, such as %s", err, anyPort)
	}
	if v.bound().IsLoopback() {
		return nil
	}
	v.token = rand.Text()
	if name, err := os.Hostname(); err == nil {
		v.hosts = append(v.hosts, name)
	}
	return nil
}

func (v *liveView) bound() netip.Addr {
	at, _ := netip.ParseAddrPort(v.listener.Addr().String())
	return at.Addr().Unmap()
}

// url is the page's address, with the key that it needs, behind a # so that it is in no log.
func (v *liveView) url() string {
	if v.token == "" {
		return v.base()
	}
	return v.base() + "#" + v.token
}

func (v *liveView) base() string {
	host, port, _ := net.SplitHostPort(v.listener.Addr().String())
	if v.bound().IsUnspecified() {
		if name, err := os.Hostname(); err == nil {
			host = name
		}
	}
	return "http://" + net.JoinHostPort(host, port) + "/"
}

func (v *liveView) serve(feed *live.Feed) {
	v.serveHandler(feed.Handler(live.Config{Hosts: v.hosts, Token: v.token, Controls: v.controls}))
}

func (v *liveView) serveHandler(h http.Handler) {
	v.server = live.NewServer(h)
	go func() { _ = v.server.Serve(v.listener) }() // until it is closed
}

// close ends the page, and gives those who look at it a moment for the last frame.
func (v *liveView) close() {
	if v.server == nil {
		if v.listener != nil {
			v.listener.Close()
		}
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if v.server.Shutdown(ctx) != nil {
		v.server.Close()
	}
}
