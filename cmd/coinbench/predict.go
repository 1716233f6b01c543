package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coinbench/capacity/model"
	"coinbench/reports"
)

func predictCommand(p process) *cobra.Command {
	var (
		path   string
		sets   []string
		format = "text"
		o      = model.Options{Probe: probeEvery}
	)
	c := &cobra.Command{
		Use:   "predict --model FILE --set KEY=VALUE...",
		Short: "Predict the hash rate and the latency of a setting that was never measured",
		Long: `predict plays a setting on the simulator with the costs of a model that 'coinbench calibrate' made, and puts the
asymptotic bounds and mean value analysis next to it; where they disagree it says why. It takes milliseconds. Mean value analysis is exact
for two networks with exponential service times: one queue for all replicas of a service, and a queue for each that requests join at
random. With such times the app lies between the two.

Keys: worker, rng, hasher (replicas), think, balance, and SERVICE.COIN_NAME for any other setting of rng, hasher or worker.
What is not set is as it was when the model's run began.`,
		Example: `  coinbench predict --model model.json --set rng=4 --set worker=12
  coinbench predict --model model.json --set worker=20 --set rng=5 --set balance=random
  coinbench predict --model model.json --set worker=10 --set rng=2 --set rng.COIN_DELAY=50ms`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			m, err := readModel(path)
			if err != nil {
				return err
			}
			s, err := settingOf(m, sets)
			if err != nil {
				return err
			}
			prediction, err := m.Predict(s, o)
			if err != nil {
				return usage(err)
			}
			return render(format, p.stdout, prediction, func(w io.Writer) error { return reports.PredictionText(w, prediction, textOptions(p)) })
		},
	}
	c.Flags().StringVar(&path, "model", "", "`file` of the model, or the folder of a calibrated run")
	c.Flags().StringArrayVar(&sets, "set", nil, "change the setting, as `key=value`; may be repeated")
	c.Flags().DurationVar(&o.Length, "for", 20*time.Second, "length of the window that is played, in each of six runs")
	c.Flags().StringVar(&format, "format", format, "text or json")
	return c
}

// probeEvery is the time between two visits to rng's / : no whole part of the app's rhythms.
const probeEvery = 47 * time.Millisecond

// settingOf is the model's own setting with changes.
func settingOf(m model.Model, sets []string) (model.Setting, error) {
	s := m.Base
	for _, text := range sets {
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			return s, usage(fmt.Errorf("--set %s: there is no =; accepted: --set key=value", text))
		}
		var err error
		if s, err = s.With(key, value); err != nil {
			return s, usage(fmt.Errorf("--set %w", err))
		}
	}
	return s, nil
}

func render(format string, w io.Writer, v any, text func(io.Writer) error) error {
	switch format {
	case "text":
		return unmeasured(text(w))
	case "json":
		return unmeasured(reports.ValueJSON(w, v))
	}
	return usage(fmt.Errorf("--format %s: accepted: text, json", format))
}
