package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"coinbench/labs"
	"coinbench/labs/board"
)

func labBoardCommand(p process) *cobra.Command {
	view := liveView{address: anyPort}
	var seed uint64
	var out string
	c := &cobra.Command{
		Use:   "board",
		Short: "Show a room what it predicts, and then what the trainer's run measured",
		Long: `board is a page for a wall: how many of those who share (coinbench lab serve --share) have predicted, what, and who thinks how.

Nothing on it can be pressed: your own steps in a lab, in the terminal or with lab serve, lead it. When you have predicted, the room's numbers
are shown; when your run begins, the vote is closed; when it has ended, the board says which way of thinking gives which number. The board
begins a new attempt of each lab of yours, whose numbers the room's pages take; a new attempt (coinbench lab reset NAME) is a new vote.

Three addresses are printed: what learners type, the page for the wall, and the trainer's page, which also says who is where and who has
been stuck for five minutes. Votes are in memory, and gone when Ctrl-C ends the board, but for --csv.`,
		Example: `  coinbench lab board --listen 0.0.0.0:8080
  coinbench lab board --listen 0.0.0.0:8080 --seed 7 --csv votes.csv`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := p.interruptible()
			defer stop()
			if err := view.listen(); err != nil {
				return usage(err)
			}
			defer view.close()
			t, err := newTrainer(p, seed)
			if err != nil {
				return err
			}
			b := board.New()
			if err := t.follow(b); err != nil {
				return err
			}
			keys := board.Keys{Room: rand.Text()[:8], Trainer: rand.Text()} // the first is typed off the wall
			view.serveHandler(b.Handler(keys, view.hosts))
			at := view.roomAddress()
			fmt.Fprintf(p.stdout, "learners: coinbench lab serve --share '%s#%s'\nthe wall: %s#%s\nyours:    %s#%s\n", at, keys.Room,
				at, keys.Room, at, keys.Trainer)
			if view.bound().IsLoopback() {
				say(p.stderr, "only this machine reaches it; for a room: --listen 0.0.0.0:8080")
			}
			say(p.stderr, "the board is there until Ctrl-C")
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for ctx.Err() == nil {
				select {
				case <-ctx.Done():
				case <-tick.C:
					if err := t.follow(b); err != nil {
						say(p.stderr, "not followed: %v", err)
					}
				}
			}
			if out == "" {
				return nil
			}
			f, err := os.Create(out)
			if err != nil {
				return usage(fmt.Errorf("votes: %w", err))
			}
			return unmeasured(errors.Join(b.WriteCSV(f), f.Close()))
		},
	}
	c.Flags().StringVar(&view.address, "listen", view.address, "address of the page; port 0: any that is free")
	c.Flags().Uint64Var(&seed, "seed", 0, "what the room's numbers are drawn from; 0: chance")
	c.Flags().StringVar(&out, "csv", "", "file for the votes, written at the end")
	addHosts(c, &view.hosts)
	return c
}

// roomAddress is the page's address as others on the network reach it: by number, for a room may have no names.
func (v *liveView) roomAddress() string {
	if !v.bound().IsUnspecified() {
		return v.base()
	}
	_, port, _ := net.SplitHostPort(v.listener.Addr().String())
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return "http://" + net.JoinHostPort(n.IP.String(), port) + "/"
		}
	}
	return v.base()
}

// trainer is who leads a board, by what they do in labs.
type trainer struct {
	p    process
	labs []labs.Lab
	told map[string]string // by lab: what the board knows
}

// newTrainer begins a new attempt of each lab.
func newTrainer(p process, seed uint64) (t *trainer, err error) {
	t = &trainer{p: p, told: map[string]string{}}
	if t.labs, err = labs.All(); err != nil {
		return nil, unmeasured(err)
	}
	if seed == 0 {
		if seed, err = chanceSeed(); err != nil {
			return nil, err
		}
	}
	for _, l := range t.labs {
		if err := newVisit(p, l, "en").begin(seed); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// follow tells the board of the labs in which something was done.
func (t *trainer) follow(b *board.Board) error {
	for _, l := range t.labs {
		v := newVisit(t.p, l, "en")
		if err := errors.Join(v.resume(), v.begun()); err != nil {
			return err
		}
		now := fmt.Sprint(filepath.Base(v.attempt.Dir), "/", len(v.attempt.Entries))
		if t.told[l.Name] == now {
			continue
		}
		s, err := standingOf(v)
		if err != nil {
			return err
		}
		b.Follow(s)
		t.told[l.Name] = now
	}
	return nil
}

// standingOf is what a board follows of a lab.
func standingOf(v *visit) (board.Standing, error) {
	entries := v.attempt.Entries
	s := board.Standing{Lab: v.lab, Attempt: filepath.Base(v.attempt.Dir), At: entries[len(entries)-1].At, Seed: v.attempt.Seed(),
		Round: v.state.Round, Rounds: map[string]board.Measured{}}
	for _, name := range labs.RoundNames() {
		var m board.Measured
		var err error
		if m.Vars, err = v.vars(name); err != nil {
			return s, err
		}
		for _, e := range entries {
			m.Shown = m.Shown || e.Kind == labs.Predicted && e.Round == name
			m.Closed = m.Closed || e.Kind == labs.Started && e.Round == name
		}
		run := v.state.Answered[name].Run
		if v.state.Round == name {
			run = v.state.Run
		}
		if run != nil {
			if m.Analysis, err = analyse(filepath.Join(v.attempt.Dir, run.Run)); err != nil {
				return s, err
			}
		}
		s.Rounds[name] = m
	}
	return s, nil
}
