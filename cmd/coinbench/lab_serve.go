package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"coinbench/capacity"
	"coinbench/labs"
	"coinbench/labs/web"
	"coinbench/live"
	"coinbench/reports"
)

func labServeCommand(p process, language *string) *cobra.Command {
	where := clusterFlags{}
	view := liveView{address: anyPort}
	share, name := "", ""
	c := &cobra.Command{
		Use:   "serve [NAME]",
		Short: "The same steps in the browser, next to the live page of the run",
		Long: `serve shows the labs in the browser: predict, run, read, check, hints and a new attempt, with the live page of the run in the other
half of the window, or below on a telephone. They are the steps of the commands, and what you do is kept in the same folder: you may change
between the terminal and the browser at any time.

The page needs the key in the address that is printed. Ctrl-C ends it, and a run that is under way with it; the prediction stays.

--share brings your predictions, and how far you are in which lab, to the board of a room (coinbench lab board); new attempts have the room's
numbers. You have a number there, and with --as a name. Without --share nothing leaves this machine.`,
		Example: `  coinbench lab serve
  coinbench lab serve four-or-three --listen 127.0.0.1:8080
  coinbench lab serve --share 'http://192.168.1.5:8080/#ROOMCODE' --as Ada`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := p.interruptible()
			defer stop()
			query := ""
			if len(args) > 0 {
				if _, err := labs.Load(args[0], *language); err != nil {
					return usage(err)
				}
				query = "?lab=" + args[0]
			}
			if name != "" && share == "" {
				return usage(errors.New("--as is the name that --share shares; accepted: both, or neither"))
			}
			s := newLabServer(ctx, p, *language, where)
			defer s.end()
			if share != "" {
				if err := s.join(share, name); err != nil {
					return err
				}
				say(p.stderr, "shared with %s: predictions, and how far you are", s.share.room.Base)
			}
			if err := view.listen(); err != nil {
				return usage(err)
			}
			defer view.close()
			view.token = rand.Text() // a page that changes something asks for it on this machine too
			view.serveHandler(web.Handler(s, live.Config{Hosts: view.hosts, Token: view.token}))
			address, key, _ := strings.Cut(view.url(), "#")
			fmt.Fprintln(p.stdout, address+query+"#"+key)
			say(p.stderr, "the labs are there until Ctrl-C")
			<-ctx.Done()
			return nil
		},
	}
	where.addToLab(c)
	c.Flags().StringVar(&share, "share", "", "address of a room's board, to which predictions and progress are brought")
	c.Flags().StringVar(&name, "as", "", "name on the board")
	c.Flags().StringVar(&view.address, "listen", view.address, "address of the page; port 0: any that is free")
	addHosts(c, &view.hosts)
	return c
}

// labServer takes the steps of pages: those of the commands, whose words it does not need, for a page shows what the attempts' folder says.
type labServer struct {
	ctx      context.Context // of runs, and of what is watched
	end      func()          // ends and waits for them
	p        process
	language string
	where    clusterFlags
	work     sync.WaitGroup
	share    *sharer // nil: nothing is shared

	mu      sync.Mutex
	running string            // the lab of which a run was begun here
	faults  map[string]string // by lab: why the last one ended early
	watched []watchedRun      // the newest last
}

type watchedRun struct {
	dir  string
	feed *live.Feed
	stop func()
}

// mostWatched are the runs that are followed at a time.
const mostWatched = 4

func newLabServer(ctx context.Context, p process, language string, where clusterFlags) *labServer {
	p.stdout = discard{}
	ctx, stop := context.WithCancel(ctx)
	s := &labServer{ctx: ctx, p: p, language: language, where: where, faults: map[string]string{}}
	s.end = func() {
		stop()
		s.work.Wait()
	}
	return s
}

// join shares with a room's board.
func (s *labServer) join(address, name string) (err error) {
	if s.share, err = newSharer(s.p, address, name); err != nil {
		return err
	}
	if err := s.share.begin(time.Now()); err != nil {
		return err
	}
	s.work.Go(func() { s.share.follow(s.ctx) })
	return nil
}

// visit is a lab, whose new attempts have the room's numbers.
func (s *labServer) visit(lab string) (*visit, error) {
	v, err := visitLab(s.p, lab, s.language)
	if v != nil && s.share != nil {
		v.seed = s.share.seed
	}
	return v, err
}

// Labs are all of them, with the learner's standing.
func (s *labServer) Labs() (l web.List, err error) {
	visits, score, err := visitAll(s.p, s.language)
	l.Score, l.Board = score, s.share.page()
	for _, v := range visits {
		l.Labs = append(l.Labs, web.Listed{Name: v.lab.Name, Title: v.lab.Title, Minutes: v.lab.Minutes, Standing: v.standing()})
	}
	return l, err
}

// Version changes with everything that a View shows.
func (s *labServer) Version(lab string) (string, error) {
	v, err := s.visit(lab)
	if err != nil {
		return "", err
	}
	return s.version(v), nil
}

func (s *labServer) version(v *visit) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.attempt == nil {
		return "none"
	}
	return fmt.Sprintf("%s/%d/%t/%s/%s/%s", filepath.Base(v.attempt.Dir), len(v.attempt.Entries), s.running == v.lab.Name || v.underWay(),
		livePath(v), s.faults[v.lab.Name], s.share.status(v.lab.Name))
}

// livePath is the path of the page of an attempt's last run; "": none is recorded.
func livePath(v *visit) string {
	dir := v.attempt.LastRun()
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); dir == "" || err != nil {
		return ""
	}
	return strings.Join([]string{"live", v.lab.Name, filepath.Base(v.attempt.Dir), filepath.Base(dir), ""}, "/")
}

// View is a lab now: how each round was judged, and what comes next.
func (s *labServer) View(lab string) (out web.View, err error) {
	s.mu.Lock()
	v, err := s.visit(lab)
	if err == nil {
		err = v.begun()
	}
	s.mu.Unlock()
	if err != nil {
		return out, err
	}
	page := &labPage{}
	v.out = page
	out.Version = s.version(v)
	for _, round := range labs.RoundNames() {
		if _, done := v.state.Answered[round]; done && err == nil {
			page.heading(labs.Heading(round, v.language) + ": what your run says")
			err = v.told(round)
		}
	}
	if err == nil {
		if v.state.Phase != labs.Done {
			page.heading(labs.Heading(v.state.Round, v.language))
		}
		err = v.now()
	}
	for n := 1; n <= v.state.Hints && err == nil && v.state.Phase != labs.Done; n++ {
		err = v.hinted(n)
	}
	if err != nil {
		return out, err
	}
	r := v.lab.Round(v.state.Round)
	out.Title, out.Language, out.Text, out.Phase, out.Unit = v.lab.Title, v.language, page.nodes, string(v.state.Phase), r.Unit
	out.Sealed = predicted(v.state.Prediction, r.Unit)
	out.Hints = v.state.Phase != labs.Done && v.state.Hints < len(r.Hints)
	if r.Evidence != nil {
		out.Ask, out.Choices = r.Evidence.Ask, r.Evidence.Choices
	}
	out.Clusters = s.clusters(v.lab)
	out.Live = livePath(v)
	out.Shared, out.Board = s.share.status(lab), s.share.page()
	if next, err := labAfter(lab); err == nil && next != nil {
		out.Next = &web.Listed{Name: next.Name, Title: next.Title}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out.Running, out.Fault = s.running == lab || v.underWay(), s.faults[lab]
	return out, nil
}

// clusters are those that a page may run a lab on: the one of the command line, and the simulator.
func (s *labServer) clusters(l labs.Lab) (names []string) {
	for _, name := range []string{s.where.name, "sim"} {
		if slices.Contains(l.On, name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Take takes one step.
func (s *labServer) Take(step web.Step) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.visit(step.Lab)
	if step.Verb == web.Reset && v != nil {
		err = nil // an attempt that cannot be read is left behind
	}
	if err != nil {
		return err
	}
	if s.running != "" {
		return fmt.Errorf("a run is under way (lab %s): wait for its end", s.running)
	}
	switch step.Verb {
	case web.Predict:
		return v.predict(step.Number, step.Confidence)
	case web.Check:
		var evidence []string
		if step.Evidence != "" {
			evidence = []string{step.Evidence}
		}
		return unlessTold(v.check(step.Number, evidence...))
	case web.Hint:
		return v.hint()
	case web.Reset:
		return v.begin(0)
	case web.Run:
		where := s.where
		if where.name = step.Cluster; !slices.Contains(s.clusters(v.lab), where.name) {
			return fmt.Errorf("cluster %q; accepted: %s", step.Cluster, strings.Join(s.clusters(v.lab), ", "))
		}
		if err := v.ready(where); err != nil {
			return err
		}
		s.running = v.lab.Name
		delete(s.faults, v.lab.Name)
		s.work.Go(func() {
			err := unlessTold(v.run(where))
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.running = ""; err != nil {
				s.faults[v.lab.Name] = err.Error()
			}
		})
		return nil
	}
	return fmt.Errorf("step %q; accepted: predict, run, check, hint, reset", step.Verb)
}

// unlessTold is an error of which not all has been said: that a run cannot tell is in the attempt.
func unlessTold(err error) error {
	var coded *exitError
	if errors.As(err, &coded) && coded.err == nil {
		return nil
	}
	return err
}

var (
	plainNumber = regexp.MustCompile(`^[0-9]{1,9}$`)
	plainRun    = regexp.MustCompile(`^run-[0-9]{1,9}$`)
)

// Watch is the feed of a run of an attempt.
func (s *labServer) Watch(lab, attempt, run string) (*live.Feed, error) {
	if _, err := labs.Load(lab, s.language); err != nil {
		return nil, err
	}
	if !plainNumber.MatchString(attempt) || !plainRun.MatchString(run) {
		return nil, errors.New("there is no such run")
	}
	dir := filepath.Join(labRoot(s.p), lab, attempt, run)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.watched {
		if w.dir == dir {
			return w.feed, nil
		}
	}
	feed, err := live.Open(dir, judgement(s.p))
	if err != nil {
		return nil, errors.New("there is no such run")
	}
	if len(s.watched) == mostWatched {
		s.watched[0].stop()
		s.watched = s.watched[1:]
	}
	ctx, stop := context.WithCancel(s.ctx)
	s.watched = append(s.watched, watchedRun{dir, feed, stop})
	s.work.Go(func() { feed.Follow(ctx) })
	return feed, nil
}

// labPage collects what a lab tells as the nodes of a page.
type labPage struct{ nodes []web.Node }

func (l *labPage) heading(text string) { l.nodes = append(l.nodes, web.Element("h2", text)) }

func (l *labPage) markdown(text string) error {
	nodes, err := web.Markdown(text)
	l.nodes = append(l.nodes, nodes...)
	return err
}

func (l *labPage) table(rows reports.Table) error {
	var head, body []web.Node
	for i, row := range rows {
		var cells []web.Node
		for _, text := range row {
			name := "td"
			if i == 0 {
				name = "th"
			}
			cells = append(cells, web.Element(name, strings.TrimSpace(text)))
		}
		if line := web.Element("tr", cells...); i == 0 {
			head = append(head, line)
		} else {
			body = append(body, line)
		}
	}
	l.nodes = append(l.nodes, web.Element("table", web.Element("thead", head...), web.Element("tbody", body...)))
	return nil
}

func (l *labPage) say(format string, args ...any) {
	if text := strings.TrimSpace(fmt.Sprintf(format, args...)); text != "" {
		l.nodes = append(l.nodes, web.Element("p", text))
	}
}

func (l *labPage) report(a *capacity.Analysis) error {
	var b strings.Builder
	err := reports.Text(&b, a, reports.TextOptions{Width: 76})
	l.nodes = append(l.nodes, web.Element("pre", b.String()))
	return err
}

// next is what the page asks for by itself; the report of a run is there to be read.
func (l *labPage) next(v *visit) error {
	if v.state.Phase != labs.ToCheck {
		return nil
	}
	a, err := analyse(filepath.Join(v.attempt.Dir, v.state.Run.Run))
	if err != nil {
		return err
	}
	return l.report(a)
}
