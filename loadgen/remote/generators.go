package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"coinbench/history"
	"coinbench/loadgen"
)

// startDelay is how long after the last generator has come they begin: long enough for all to have heard of it.
const startDelay = 200 * time.Millisecond

// Generators plays a workload by n copies of coinbench in a place, whose records become one. Its signature is that of loadgen.Run.
func Generators(place Place, n int) func(context.Context, loadgen.Workload, time.Time, loadgen.Recorder) (history.LoadEndRecord,
	error) {
	return generators(func(ctx context.Context, job Job) error { return Run(ctx, place, job) }, n)
}

func generators(run func(context.Context, Job) error, n int) func(context.Context, loadgen.Workload, time.Time,
	loadgen.Recorder) (history.LoadEndRecord, error) {
	return func(ctx context.Context, w loadgen.Workload, origin time.Time, rec loadgen.Recorder) (history.LoadEndRecord, error) {
		shares, err := w.Split(n)
		if err != nil {
			return history.LoadEndRecord{}, err
		}
		m := newMerger(rec, shares)
		playing, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		check := func(err error) {
			if err != nil {
				stop(err)
			}
		}
		job := Job{Args: []string{"load"}, Origin: origin, Delay: startDelay,
			Message: func(copy int, node string, message []byte) { check(m.take(copy, node, message)) },
			Lost:    func(copy int, why string) { check(m.lose(copy, why)) }}
		for _, share := range shares {
			work, err := json.Marshal(share)
			if err != nil {
				return history.LoadEndRecord{}, err
			}
			job.Work = append(job.Work, work)
		}
		err = run(playing, job)
		if cause := context.Cause(playing); cause != nil && ctx.Err() == nil {
			err = cause
		}
		if err != nil {
			err = fmt.Errorf("%d load generators: %w", len(shares), err)
		}
		end, merged := m.finish()
		return end, errors.Join(err, merged)
	}
}
