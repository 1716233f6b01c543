package scenarios

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"coinbench/history"
	"coinbench/loadgen"
)

// Measure lets the app run for a while and takes its counters at both ends: one window.
type Measure struct {
	// The window's name, which objectives use.
	Name string `json:"name" jsonschema:"required"`
	// Length of the window.
	For time.Duration `json:"for" jsonschema:"required"`
	// Time before the window, which does not count.
	Settle time.Duration `json:"settle" jsonschema:"default=0s"`
	// Requests at a low, constant rate during the window, recorded as the load probe-NAME: the latency that a visitor meets.
	Probe *Probe `json:"probe"`
}

// Probe asks a service a simple question again and again, whether it answered the one before or not.
type Probe struct {
	// The service that is asked.
	Service string `json:"service" jsonschema:"required"`
	// The port that is asked. Default: the one on which the service listens, as far as that is known.
	Port int `json:"port" jsonschema:"minimum=1,maximum=65535"`
	// Path of the request.
	Path string `json:"path" jsonschema:"default=/"`
	// Time between two requests.
	Every time.Duration `json:"every" jsonschema:"default=250ms"`
}

func (s *Probe) preset() { s.Path, s.Every = "/", 250*time.Millisecond }

func (s *Measure) title() string {
	title := fmt.Sprintf("measure %s for %s", s.Name, s.For)
	if s.Probe != nil {
		title += ", probing " + s.Probe.Service
	}
	return title
}

func (s *Measure) check(p *plan) {
	p.running()
	p.positive(&s.For, "for")
	p.bounded(&s.Settle, "settle")
	if s.Name == "" {
		p.wrong(&s.Name, "the measurement has no name; accepted: name: a-word")
	} else {
		p.window(s.Name, &s.Name)
	}
	p.length = s.Settle + s.For
	if probe := s.Probe; probe != nil {
		p.service(probe.Service, &probe.Service)
		p.port(probe.Service, &probe.Service)
		p.portOf(probe.Service, &probe.Port)
		p.path(&probe.Path)
		if probe.Every < time.Millisecond {
			p.wrong(&probe.Every, "every is %s; accepted: at least 1ms", probe.Every)
		}
		p.load("probe-"+s.Name, &s.Name)
	}
}

// path reports a path that is none.
func (p *plan) path(path *string) {
	if !strings.HasPrefix(*path, "/") || strings.ContainsAny(*path, " \t\r\n\"#") {
		p.wrong(path, "%q is not a path; accepted: such as / or /10", *path)
	}
}

func (s *Measure) play(ctx context.Context, st *stage) error {
	if s.Settle > 0 {
		st.doing("settling")
		if err := st.cluster.Sleep(ctx, s.Settle); err != nil {
			return err
		}
	}
	st.doing("measuring %s", s.Name)
	if s.Probe == nil {
		return st.window(ctx, s.Name, s.For, func() {})
	}
	url, err := st.url(ctx, s.Probe.Service, s.Probe.Port, s.Probe.Path)
	if err != nil {
		return err
	}
	w := loadgen.Workload{
		Name:    "probe-" + s.Name,
		Targets: []loadgen.Target{{Method: http.MethodGet, URL: url}},
		// A number of requests instead of a duration: the last ones are answered and not cut off.
		Schedule: fmt.Sprintf("%.4g/s", 1/s.Probe.Every.Seconds()),
		Requests: int64(math.Ceil(float64(s.For) / float64(s.Probe.Every))),
		Reuse:    loadgen.Reuse{PerRequest: true},
		Timeouts: timeouts(),
		Seed:     st.scenario.Seed,
	}
	probing, cancel := context.WithCancel(ctx)
	defer cancel()
	probed := make(chan error, 1)
	var wait func()
	err = st.window(ctx, s.Name, s.For, func() {
		wait = st.spawn(func() { probed <- st.load(probing, s.Probe.Service, w) })
	})
	if err != nil {
		cancel()
	}
	st.doing("waiting for the last answers")
	wait()
	if e := <-probed; err == nil {
		err = e
	}
	return err
}

// timeouts bound a request, so that a service that never answers ends a load and not the patience of its reader.
func timeouts() loadgen.Timeouts {
	return loadgen.Timeouts{Connect: 30 * time.Second, Header: 30 * time.Second, Body: 30 * time.Second}
}

var _ loadgen.Recorder = (*history.LoadWriter)(nil)
