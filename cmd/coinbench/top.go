package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"coinbench/capacity"
	"coinbench/history"
	"coinbench/reports"
)

// topCommand shows how each replica is used, while it is.
func topCommand(p process) *cobra.Command {
	f := existing{quiet: true}
	once := false
	interval := time.Second
	c := &cobra.Command{
		Use:   "top",
		Short: "Show utilisation, queue, rate and share of every replica of an app that is up, live",
		Long: `top shows of every replica the share of its slots that was occupied, the requests that wait for one, its requests a second (of a
worker hashes, of Redis those that were added) and its share of what the service did, over the last interval. On a terminal it goes on
until Ctrl-C, which leaves the app alone; elsewhere, and with --once, it prints one table.`,
		Example: `  coinbench top
  coinbench top --once --interval 5s`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if interval < 100*time.Millisecond || interval > time.Hour {
				return usage(fmt.Errorf("--interval %s; accepted: 100ms to 1h", interval))
			}
			return f.on(p, func(ctx context.Context, app *found) error {
				err := watch(ctx, p, app, interval, once || terminal(p.stdout) == nil)
				if ctx.Err() != nil {
					return nil // that is how it ends
				}
				return err
			})
		},
	}
	f.add(c)
	c.Flags().BoolVar(&once, "once", false, "print one table and end")
	c.Flags().DurationVar(&interval, "interval", interval, "time between two readings of the counters")
	return c
}

func watch(ctx context.Context, p process, app *found, interval time.Duration, once bool) error {
	read := func() ([]history.Reading, error) {
		readings, err := app.cluster.Counters(ctx)
		if len(readings) > 0 {
			err = nil // one that comes or goes does not answer
		} else if err == nil {
			err = errors.New("no task answered")
		}
		return readings, err
	}
	var roles history.Roles // on a Swarm nothing says them
	if app.here != nil {
		up, err := app.here.App(ctx)
		if err != nil {
			return err
		}
		roles = up.Roles
	}
	before, err := read()
	for err == nil {
		if err = app.cluster.Sleep(ctx, interval); err != nil {
			break
		}
		var now []history.Reading
		if now, err = read(); err != nil {
			break
		}
		rows := topRows(capacity.Replicas(roles, before, now))
		before = now
		if once {
			return table(p.stdout, rows)
		}
		err = redraw(p.stdout, rows)
	}
	return err
}

// topRows has a line for each replica.
func topRows(all []capacity.ReplicaUse) reports.Table {
	rows := reports.Table{{"TASK", "UTILISATION", "QUEUE", "PER S", "SHARE"}}
	for _, u := range all {
		busy, queue := "–", "–"
		if u.Utilisation != nil {
			busy, queue = fmt.Sprintf("%.0f %%", *u.Utilisation*100), fmt.Sprintf("%.0f", *u.Queue)
		}
		rows = append(rows, []string{u.Task, busy, queue, fmt.Sprintf("%.1f", u.PerS), fmt.Sprintf("%.0f %%", u.Share*100)})
	}
	return rows
}

// redraw fills the screen anew, with as much as it has room for.
func redraw(out io.Writer, rows reports.Table) error {
	lines := strings.SplitAfter(rows.Text("", width(out)), "\n")
	if f := terminal(out); f != nil {
		if _, height, err := term.GetSize(int(f.Fd())); err == nil && height > 2 && len(lines) > height {
			lines = lines[:height-1]
		}
	}
	_, err := io.WriteString(out, "\x1b[H\x1b[J"+strings.Join(lines, ""))
	return err
}
