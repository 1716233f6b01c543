package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coinbench/capacity"
	"coinbench/cmd/coinbench/early"
	"coinbench/live"
)

// runPage is the page of a run that this process plays. Another process, which gives way to all others, makes it from the run's files, so
// that who watches costs no request its time. It ends with its standard input, and so with this process, however that ends.
type runPage struct {
	address string
	hosts   []string

	command *exec.Cmd
	input   io.WriteCloser // the run's folder, and its end when nothing more is recorded
	url     string
	ended   chan struct{} // closed when the process has ended
}

// lastFrame is how long a page may take to show how its run ended, on a machine that has nothing left for it.
const lastFrame = 30 * time.Second

func (r *runPage) asked() bool { return r.address != "" }

// open starts the process, which takes the address.
func (r *runPage) open(p process) error {
	fault := func(err error) error { return unmeasured(fmt.Errorf("start the process that shows the run: %w", err)) }
	self, err := os.Executable()
	if err != nil {
		return fault(err)
	}
	args := []string{"page", "--listen", r.address}
	for _, host := range r.hosts {
		args = append(args, "--live-host", host)
	}
	r.command = exec.Command(self, args...)
	r.command.Env = append(p.environ[:len(p.environ):len(p.environ)], "GOMAXPROCS=1") // the other processors are for who measures
	r.command.Stderr, r.command.SysProcAttr = p.stderr, ownGroup()
	if r.input, err = r.command.StdinPipe(); err != nil {
		return fault(err)
	}
	output, err := r.command.StdoutPipe()
	if err != nil {
		return fault(err)
	}
	if err := r.command.Start(); err != nil {
		return fault(err)
	}
	r.ended = make(chan struct{})
	line, _ := bufio.NewReader(output).ReadString('\n')
	go func() {
		_ = r.command.Wait() // it says nothing more
		close(r.ended)
	}()
	if line = strings.TrimSpace(line); strings.HasPrefix(line, "http") {
		r.url = line
		return nil
	}
	r.close()
	if line == "" {
		return fault(errors.New("it ended at once"))
	}
	return usage(errors.New(line))
}

// show has the process show a run's folder.
func (r *runPage) show(p process, dir string) {
	if r.url == "" {
		return
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		_, err = fmt.Fprintln(r.input, dir)
	}
	if err != nil {
		say(p.stderr, "not shown: %v", err) // the run is what matters
		return
	}
	say(p.stderr, "live at %s", r.url)
}

// close lets the process make the last frame, and waits for its end.
func (r *runPage) close() {
	if r.ended == nil {
		return
	}
	r.input.Close()
	select {
	case <-r.ended:
	case <-time.After(lastFrame): // result.json has it
		_ = r.command.Process.Kill()
		<-r.ended
	}
}

// resultOf is the analysis that a run's report was made of.
func resultOf(dir string) (*capacity.Analysis, error) {
	data, err := os.ReadFile(filepath.Join(dir, "result.json"))
	if err != nil {
		return nil, err
	}
	a := &capacity.Analysis{}
	return a, json.Unmarshal(data, a)
}

// pageCommand is the process that shows the run of another.
func pageCommand(p process) *cobra.Command {
	v := liveView{address: anyPort}
	c := &cobra.Command{
		Use:     "page",
		Short:   "Show the run of the process that started this (run --live starts this itself)",
		Example: "  (echo runs/smoke/latest; sleep 1m) | coinbench page",
		Hidden:  true,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			early.Stop()
			signal.Ignore(os.Interrupt) // where there are no process groups, a console's Ctrl-C reaches this process, too
			yieldToOthers()
			if err := v.listen(); err != nil {
				fmt.Fprintln(p.stdout, err) // to who started this, who says it
				return exit(exitUsage)
			}
			defer v.close()
			fmt.Fprintln(p.stdout, v.url())
			input := bufio.NewReader(p.stdin)
			dir, err := input.ReadString('\n')
			if err != nil { // there is no run
				return nil
			}
			dir = strings.TrimSuffix(dir, "\n")
			feed, err := live.Open(dir, judgement(p))
			if err != nil {
				return unmeasured(err)
			}
			v.serve(feed)
			ctx, stop := context.WithCancel(context.Background())
			go func() {
				_, _ = io.Copy(io.Discard, input) // its end is that of the run
				stop()
			}()
			feed.Follow(ctx)
			if a, err := resultOf(dir); err == nil {
				feed.Finish(a)
			} else {
				feed.End()
			}
			return nil
		},
	}
	c.Flags().StringVar(&v.address, "listen", v.address, "address of the page")
	addHosts(c, &v.hosts)
	return c
}
