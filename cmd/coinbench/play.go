package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"coinbench/cluster"
	"coinbench/live"
	"coinbench/scenarios"
)

func playCommand(p process) *cobra.Command {
	var (
		sets    []string
		out     string
		save    string
		patient time.Duration
		where   clusterFlags
		attach  attachment
		view    = liveView{address: anyPort}
	)
	c := &cobra.Command{
		Use:   "play [APP|SCENARIO]",
		Short: "Bring the app up and change it from the browser",
		Long: `play deploys the app and serves the page of 'run --live' with controls: scale, update, roll back and restart services, begin
and end loads, measure, kill, pause and slow replicas. Each is a step of a scenario, checked and played as one, and recorded like a run.
What was done is a scenario itself: --save, or the page, writes it to a file that 'coinbench run' plays again.

APP is a Compose file; of a SCENARIO, the app is deployed as it does, and nothing else of it is played. Without either it is the app that
coinbench ships; with --attach the one that is up, which stays up.

The page's controls need the key in the address that is printed first. The second address only shows. Ctrl-C, or the page, ends it with
the report of all that was recorded; so does --for when nobody asked for anything that long.`,
		Example: `  coinbench play
  coinbench play bottleneck --cluster sim --save mine.yaml
  coinbench run mine.yaml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := p.interruptible()
			defer stop()
			attach.p, attach.ctx, attach.where = p, ctx, where
			if c.Flags().Changed("cluster") {
				attach.cluster = where.name
			}
			defer attach.close()
			if attach.asked {
				where.attached = &attach
			}
			if patient <= 0 {
				return usage(fmt.Errorf("--for %s: accepted: a time such as 30m", patient))
			}
			if _, err := os.Stat(save); save != "" && !errors.Is(err, fs.ErrNotExist) {
				return usage(fmt.Errorf("--save %s: it is there already; choose another", save))
			}
			head, set, err := opening(p, args, sets, &attach)
			if err != nil {
				return err
			}
			session, s, err := scenarios.NewSession("play.yaml", head, scenarioOptions(p, "play.yaml", set, &attach, ""), patient)
			if attach.err != nil {
				return attach.err
			}
			if err != nil {
				return usage(err)
			}
			err = playSession(ctx, p, session, s, where, out, &view)
			if save != "" {
				if saving := os.WriteFile(save, session.YAML(), 0o644); saving != nil {
					return errors.Join(err, usage(fmt.Errorf("save the session: %w", saving)))
				}
				say(p.stderr, "saved; play it again with: coinbench run %s", save)
			}
			return err
		},
	}
	setFlag(c, &sets)
	where.add(c)
	c.Flags().StringVar(&out, "out", "", "folder of the run (default runs/play/TIME)")
	c.Flags().StringVar(&save, "save", "", "write what was done to `FILE`, as a scenario")
	c.Flags().DurationVar(&patient, "for", 30*time.Minute, "end when nothing was asked for so long")
	c.Flags().BoolVar(&attach.asked, "attach", false, "play with the app that is up, and leave it up")
	c.Flags().StringVar(&view.address, "listen", view.address, "address of the page; port 0: any that is free")
	addHosts(c, &view.hosts)
	return c
}

// opening is the scenario that a session continues: it deploys the app, or takes the one that is up.
func opening(p process, args, sets []string, attach *attachment) (head []byte, set map[string]string, err error) {
	switch {
	case attach.asked && len(args)+len(sets) > 0:
		return nil, nil, usage(errors.New("--attach plays with the app that is up; accepted: no APP, no SCENARIO and no --set"))
	case attach.asked:
		return []byte("name: play\nsteps:\n  - deploy: {attach: true}\n"), nil, nil
	case len(args) == 0 && len(sets) == 0:
		return []byte("name: play\nsteps:\n  - deploy: {}\n"), nil, nil
	case len(args) == 0:
		return nil, nil, usage(errors.New("--set changes a parameter of a scenario; accepted: play SCENARIO --set key=value"))
	}
	path := ""
	var file struct {
		Services any
		App      string
		Steps    any
	}
	if isPath(args[0]) {
		text, err := os.ReadFile(args[0])
		if err != nil {
			return nil, nil, usage(fmt.Errorf("read %s: %w", args[0], err))
		}
		_ = yaml.Unmarshal(text, &file) // what is wrong with it is said by those who know what it is
		if path, err = filepath.Abs(args[0]); err != nil {
			return nil, nil, usage(err)
		}
		if file.Services != nil && file.Steps == nil {
			app, err := yaml.Marshal(yaml.MapSlice{{Key: "name", Value: "play"}, {Key: "app", Value: path}})
			return []byte(string(app) + "steps:\n  - deploy: {}\n"), nil, usage(err)
		}
		switch {
		case file.App == "":
			path = ""
		case filepath.IsAbs(file.App):
			path = file.App
		default:
			path = filepath.Join(filepath.Dir(path), file.App)
		}
	}
	s, err := loadScenario(p, args[0], sets, nil)
	if err != nil {
		return nil, nil, err
	}
	base, err := loadApp(p, "", path)
	if err != nil {
		return nil, nil, usage(err)
	}
	head, err = s.Opening("play", path, base)
	return head, nil, usage(err)
}

// playSession plays what is asked for on the page until that, Ctrl-C or nobody ends it, and reports.
func playSession(ctx context.Context, p process, session *scenarios.Session, s scenarios.Scenario, where clusterFlags, out string,
	view *liveView) error {
	if err := view.listen(); err != nil {
		return usage(err)
	}
	defer view.close()
	to, err := folder(out, s.Name)
	if err != nil {
		return err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	end := func() {
		if !session.End() { // in the middle of a step
			cancel()
		}
	}
	defer context.AfterFunc(ctx, end)()
	to.session = session
	to.recording = func(c cluster.Cluster) *live.Feed {
		view.controls = &live.Controls{Session: session, App: s.Deployed(), Where: c, Tags: shippedTags(), Token: rand.Text(), End: end,
			Mask: p.secrets.Mask}
		if clock, ok := c.(cluster.VirtualClock); ok {
			pace(run, c, clock)
		}
		return view.show(p, to.dir)
	}
	recorded, err := record(run, p, s, where, to)
	if !recorded {
		to.giveUp()
		return err
	}
	if session.Forgotten() {
		say(p.stderr, "ended, for nobody asked for anything")
	}
	return conclude(p, to.dir, err, view.finish)
}

// pace lets virtual time pass no faster than that of the clock on the wall, until the context is done.
func pace(ctx context.Context, c cluster.Cluster, clock cluster.VirtualClock) {
	begun, from := time.Now(), c.Now()
	clock.Go(func() {
		for {
			ahead := time.NewTimer(c.Now().Sub(from) - time.Since(begun))
			select {
			case <-ctx.Done():
				ahead.Stop()
				return
			case <-ahead.C:
			}
			if c.Sleep(ctx, 20*time.Millisecond) != nil {
				return
			}
		}
	})
}
