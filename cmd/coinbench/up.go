package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"coinbench/cluster"
	"coinbench/cluster/attached"
	"coinbench/history"
)

// upCommand brings an app up to stay.
func upCommand(p process) *cobra.Command {
	var (
		where  clusterFlags
		file   string
		scale  []string
		detach bool
	)
	c := &cobra.Command{
		Use:   "up",
		Short: "Bring the app up to explore it by hand",
		Long: `up deploys the app. On a Swarm, and on this machine with -d, it stays until 'coinbench down'; without -d, on this machine,
it lives until Ctrl-C or 'coinbench down'. ps, scale, update, rollback, restart, logs, top, and run --attach work on it
meanwhile, from any terminal of the same user. What up prints last is where the web page is.`,
		Example: `  coinbench up -d
  coinbench up --scale worker=10 --scale rng=5
  coinbench up --cluster swarm --file docker-compose.yml --endpoint-mode dnsrr`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := p.interruptible()
			defer stop()
			app, err := loadApp(p, ".", file)
			if err != nil {
				return usage(err)
			}
			for _, text := range scale {
				service, replicas, err := parseScale(text)
				if err != nil {
					return usage(err)
				}
				if app, err = app.With(service, &replicas, cluster.Change{}); err != nil {
					return usage(err)
				}
			}
			switch {
			case where.name == "swarm":
				return upSwarm(ctx, p, where, app)
			case detach:
				return upDetached(ctx, p, where, app)
			}
			return upHere(ctx, p, where, app)
		},
	}
	where.add(c)
	c.Flags().StringVarP(&file, "file", "f", "", "Compose file (default: the one that coinbench ships)")
	c.Flags().StringArrayVar(&scale, "scale", nil, "replicas of a service, as `SERVICE=N`; may be repeated")
	c.Flags().BoolVarP(&detach, "detach", "d", false, "leave the app up on this machine, kept by a process of its own (on a Swarm it "+
		"always stays)")
	return c
}

func upSwarm(ctx context.Context, p process, where clusterFlags, app cluster.App) error {
	c, err := where.onManager(time.Now(), teller(p.stderr), true)
	if err != nil {
		return err
	}
	if err := c.Check(app); err != nil {
		return usage(err)
	}
	deployed := c.Deploy(ctx, app)
	if deployed == nil {
		err = printApp(ctx, p, c)
	}
	letGo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if closing := c.Close(letGo); deployed == nil && err == nil {
		err = closing
	}
	if deployed != nil {
		return unmeasured(fmt.Errorf("%w\nlook at it with: coinbench ps --cluster swarm; take it down with: coinbench down --cluster swarm",
			deployed))
	}
	return unmeasured(err)
}

// keeper is this process as the one that keeps an app up.
type keeper struct {
	cluster cluster.Cluster
	events  *attached.Events
	server  *attached.Server
	socket  *attached.Listener
}

// newKeeper becomes the one. Nothing is deployed yet.
func newKeeper(ctx context.Context, p process, where clusterFlags, dir string, sink cluster.Sink, log func(string, ...any)) (*keeper,
	error) {
	k := &keeper{events: &attached.Events{}}
	start := time.Now()
	bed, err := where.cluster(request{dir: dir, seed: 1, start: start, sink: func(e history.Event) {
		k.events.Add(e)
		sink(e)
	}})
	if err != nil {
		return nil, err
	}
	if bed.simulated {
		return nil, usage(errors.New("--cluster sim: nothing is brought up there; accepted: local, swarm"))
	}
	k.cluster = bed.cluster
	k.server = attached.NewServer(attached.Host{Cluster: bed.cluster, Events: k.events, Start: start, Dir: dir, Coinbench: version(),
		Log: log, Given: p.keepSecret})
	if k.socket, err = attached.Listen(socketFolder(p)); err != nil {
		if errors.Is(err, attached.ErrUp) {
			return nil, alreadyUp(ctx, p)
		}
		return nil, usage(err)
	}
	return k, nil
}

// socketFolder is where processes of this user meet that share an app.
func socketFolder(p process) string {
	runtime, _ := p.env("XDG_RUNTIME_DIR")
	return attached.Folder(runtime, os.TempDir(), os.Geteuid())
}

// alreadyUp says what is up and how to end it.
func alreadyUp(ctx context.Context, p process) error {
	c, err := attached.Open(ctx, socketFolder(p), attached.Config{})
	if err != nil {
		return usage(errors.New("another coinbench is bringing an app up on this machine, or taking one down: look with coinbench ps"))
	}
	defer c.Close()
	return usage(fmt.Errorf("%s: see it with coinbench ps, take it down with coinbench down", keptBy(c)))
}

// keptBy is which app is up on this machine, since when, and which process keeps it so.
func keptBy(c *attached.Cluster) string {
	info, err := c.Info(context.Background())
	if err != nil {
		return "an app is up on this machine"
	}
	name := info.App
	if name == "" {
		name = "an app that is not deployed yet"
	}
	return fmt.Sprintf("%s is up on this machine, kept by process %d since %s", name, info.PID, info.Since.Format("2006-01-02 15:04:05"))
}

// upHere keeps the app in this process until it is told to stop, or somebody takes the app down.
func upHere(ctx context.Context, p process, where clusterFlags, app cluster.App) error {
	to, err := newRunFolder("up", time.Now())
	if err != nil {
		return err
	}
	k, err := newKeeper(ctx, p, where, to.dir, teller(p.stderr), nil)
	if err != nil {
		to.giveUp()
		return err
	}
	if err := k.cluster.Check(app); err != nil {
		k.socket.Close()
		to.giveUp()
		return usage(err)
	}
	to.link()
	served := make(chan error, 1)
	go func() { served <- k.server.Serve(ctx, k.socket) }()
	err = k.server.Deploy(ctx, app)
	if err == nil {
		if err = printApp(ctx, p, k.cluster); err == nil {
			fmt.Fprintln(p.stderr, "until Ctrl-C, or coinbench down")
		} else {
			k.server.End()
		}
	}
	if ctx.Err() != nil {
		err = nil // that is how it ends
	}
	return unmeasured(errors.Join(err, <-served))
}

// upDetached starts the process that keeps the app up, and deploys the app there.
func upDetached(ctx context.Context, p process, where clusterFlags, app cluster.App) error {
	if where.name != "local" {
		return usage(fmt.Errorf("--cluster %s: nothing is brought up there; accepted: local, swarm", where.name))
	}
	if c, err := attached.Open(ctx, socketFolder(p), attached.Config{}); err == nil {
		c.Close()
		return alreadyUp(ctx, p)
	}
	to, err := newRunFolder("up", time.Now())
	if err != nil {
		return err
	}
	deployed := false
	defer func() {
		if !deployed {
			_ = os.Remove(filepath.Join(to.dir, supervisorLog))
			to.giveUp()
		}
	}()
	lifeline, err := startSupervisor(p, where, to.dir)
	if err != nil {
		return err
	}
	defer lifeline.Close()
	c, err := attached.Open(ctx, socketFolder(p), attached.Config{Sink: teller(p.stderr)})
	if err != nil {
		return unmeasured(err)
	}
	defer c.Close()
	if err := c.Check(app); err != nil {
		return usage(errors.Join(err, c.Down(context.WithoutCancel(ctx))))
	}
	to.link()
	deployed = true
	if err := c.Deploy(ctx, app); err != nil {
		if ctx.Err() != nil {
			return unmeasured(errors.Join(errors.New("interrupted: the app was taken down"), c.Down(context.WithoutCancel(ctx))))
		}
		_ = c.Down(context.WithoutCancel(ctx)) // it is on its way down: when this returns another can be brought up
		return unmeasured(fmt.Errorf("%w\nthe app was taken down; its logs are in %s", err, to.dir))
	}
	if err := printApp(ctx, p, c); err != nil {
		return unmeasured(err)
	}
	fmt.Fprintln(p.stderr, "until coinbench down")
	return nil
}

// supervisorLog is the log of the process that keeps an app up, in its folder.
const supervisorLog = "supervisor.log"

// startSupervisor starts the process that will keep the app up, and returns when it is the one. Without an app it ends with the lifeline.
func startSupervisor(p process, where clusterFlags, dir string) (lifeline io.Closer, err error) {
	fault := func(err error) error {
		return unmeasured(fmt.Errorf("start the process that keeps the app up: %w", err))
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fault(err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fault(err)
	}
	log, err := os.OpenFile(filepath.Join(dir, supervisorLog), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fault(err)
	}
	defer log.Close()
	args := []string{"supervise", "--dir", dir, "--redis", where.redis}
	for _, text := range where.publish {
		args = append(args, "--publish", text)
	}
	cmd := exec.Command(self, args...)
	cmd.Dir, cmd.Env, cmd.Stderr, cmd.SysProcAttr = filepath.Dir(dir), p.environ, log, ownSession()
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fault(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		in.Close()
		return nil, fault(err)
	}
	if err := cmd.Start(); err != nil {
		in.Close()
		return nil, fault(err)
	}
	said, _ := io.ReadAll(bufio.NewReader(out))
	if string(said) == ready {
		_ = cmd.Process.Release()
		return in, nil
	}
	in.Close()
	err = cmd.Wait()
	var ended *exec.ExitError
	if text := strings.TrimSpace(string(said)); text != "" && errors.As(err, &ended) {
		return nil, withCode(ended.ExitCode(), errors.New(text))
	}
	return nil, fault(fmt.Errorf("it ended at once: %w", err))
}

// ready is what the supervisor says when it is the one that keeps an app up. Anything else is why it is not.
const ready = "ready\n"

// superviseCommand is the process that keeps an app up.
func superviseCommand(p process) *cobra.Command {
	where := clusterFlags{name: "local"}
	dir := ""
	c := &cobra.Command{
		Use:     "supervise",
		Short:   "Keep an app up on this machine (coinbench up -d starts this itself)",
		Example: "  coinbench supervise --dir /tmp/up",
		Hidden:  true,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := p.interruptible()
			defer stop()
			log := &boundedLog{w: p.stderr, left: maxSupervisorLog}
			tell := teller(log)
			k, err := newKeeper(ctx, p, where, dir, func(history.Event) {}, func(format string, a ...any) { fmt.Fprintf(log, format+"\n", a...) })
			if err != nil {
				fmt.Fprintln(p.stdout, err)
				return err
			}
			fmt.Fprintf(log, "process %d keeps an app up on this machine\n", os.Getpid())
			fmt.Fprint(p.stdout, ready)
			_ = os.Stdout.Close() // the process that started this reads to the end
			go func() {           // a log on a slow disk holds nothing up
				for number := int64(0); ; {
					events, missed, more := k.events.After(number)
					for _, e := range events {
						tell(e)
					}
					number += missed + int64(len(events))
					<-more
				}
			}()
			go func() {
				_, _ = io.Copy(io.Discard, p.stdin)
				k.server.EndUnlessDeployed()
			}()
			err = k.server.Serve(ctx, k.socket)
			fmt.Fprintln(log, "the app is down")
			return unmeasured(err)
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "folder of the logs")
	c.Flags().StringVar(&where.redis, "redis", "", "as of up")
	c.Flags().StringArrayVar(&where.publish, "publish", nil, "as of up")
	return c
}

const maxSupervisorLog = 10 << 20

// boundedLog begins each line with the time, and drops what is too much.
type boundedLog struct {
	mu   sync.Mutex
	w    io.Writer
	left int
}

// Write writes a line. It never fails: a log that cannot be written stops nothing.
func (l *boundedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := time.Now().Format("2006-01-02T15:04:05.000Z07:00") + " " + string(p)
	switch l.left -= len(line); {
	case l.left >= 0:
		_, _ = io.WriteString(l.w, line)
	case l.left+len(line) >= 0:
		_, _ = io.WriteString(l.w, "[coinbench: cut after "+strconv.Itoa(maxSupervisorLog>>20)+" MiB]\n")
	}
	return len(p), nil
}
