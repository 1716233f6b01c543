package scenarios

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"coinbench/cluster"
	"coinbench/history/event"
)

// Update changes a service by a rolling update, with the words and defaults of Docker Swarm. An update that is paused or rolled
// back does not end the run: it is a failed objective.
type Update struct {
	// Name of the rollout, which objectives use. Default: the service's name.
	Name string `json:"name"`
	// The service that is updated.
	Service string `json:"service" jsonschema:"required"`
	// Variables that change; an empty value removes one.
	Environment Map[string] `json:"environment"`
	// Another image or tag.
	Image string `json:"image"`
	// How connections are spread over the replicas.
	Balance string `json:"balance" jsonschema:"enum=round-robin,enum=round-robin-per-client,enum=random,enum=least-connections"`
	// How it is rolled out. Default: rolling.
	Strategy string `json:"strategy" jsonschema:"enum=rolling,enum=serial,enum=batched,enum=all-at-once,enum=blue-green,enum=canary"`
	// Replicas replaced at the same time; 0 for all. Default: the Compose file's.
	Parallelism *int `json:"parallelism"`
	// Time after each replica. Default: the Compose file's.
	Delay *time.Duration `json:"delay"`
	// Whether the old replica goes before or after the new one comes.
	Order string `json:"order" jsonschema:"enum=stop-first,enum=start-first"`
	// How long a new replica is watched for failure.
	Monitor *time.Duration `json:"monitor"`
	// Share of the replicas that may fail, 0 to 1.
	MaxFailureRatio *float64 `json:"max_failure_ratio"`
	// What is done when too many replicas fail.
	FailureAction string `json:"failure_action" jsonschema:"enum=pause,enum=continue,enum=rollback"`
	// Time that a node takes to pull the image, on a cluster that pulls none.
	Pull time.Duration `json:"pull"`
	// How long a canary is compared with the other replicas. Seconds that the record has whole count.
	Watch time.Duration `json:"watch" jsonschema:"default=30s"`
	// One minus the probability with which a canary that is like the other replicas is taken back as worse.
	Confidence float64 `json:"confidence" jsonschema:"default=0.99"`

	gated bool // a gateway is in front of the service
}

func (s *Update) preset() { s.Watch, s.Confidence = 30*time.Second, 0.99 }

func (s *Update) title() string {
	var parts []string
	if s.Image != "" {
		parts = append(parts, s.Image)
	}
	for _, e := range s.Environment {
		parts = append(parts, e.Key+"="+e.Value)
	}
	if s.Balance != "" {
		parts = append(parts, s.Balance)
	}
	title := strings.TrimSuffix(fmt.Sprintf("update %s to %s", s.Service, strings.Join(parts, ", ")), " to ")
	if s.Strategy != "" {
		title += ", " + s.Strategy
	}
	return title
}

func (s *Update) disturbs() (name, service string) { return s.Name, s.Service }

func (s *Update) check(p *plan) {
	p.running()
	p.oneOf("order", &s.Order, "stop-first", "start-first")
	p.oneOf("failure action", &s.FailureAction, "pause", "continue", "rollback")
	p.oneOf("strategy", &s.Strategy, words(cluster.Strategies())...)
	balance := p.balance(&s.Balance)
	if s.Delay != nil {
		p.bounded(s.Delay, "delay")
	}
	if s.Monitor != nil {
		p.bounded(s.Monitor, "monitor")
	}
	if r := s.MaxFailureRatio; r != nil && !(*r >= 0 && *r <= 1) {
		p.wrong(r, "max_failure_ratio is %g; accepted: a ratio from 0 to 1", *r)
	}
	p.bounded(&s.Pull, "pull")
	switch strategy := cluster.Strategy(s.Strategy); strategy {
	case cluster.Serial, cluster.Batched, cluster.AllAtOnce:
		if s.Parallelism != nil || s.Delay != nil {
			p.wrong(&s.Strategy, "%s has a parallelism and a delay of its own; accepted: rolling, or no parallelism and no delay", s.Strategy)
		}
	case cluster.Canary:
		p.positive(&s.Watch, "watch")
		if s.Confidence < 0.5 || s.Confidence >= 1 {
			p.wrong(&s.Confidence, "confidence is %g; accepted: a ratio from 0.5 to less than 1", s.Confidence)
		}
		if !p.attacked(s.Service) {
			p.wrong(&s.Strategy, "a canary is judged by requests; accepted: an attack of %s in the background before this step", s.Service)
		}
		p.length += s.Watch
	}
	service := p.service(s.Service, &s.Service)
	if service == nil {
		return
	}
	p.disturbance(&s.Name, s.Service)
	s.gated = service.Gateway
	if len(s.Environment) == 0 && s.Image == "" && s.Balance == "" {
		p.wrong(nil, "the update changes nothing; accepted: environment, image or balance")
	}
	p.previous[s.Service] = *service
	if s.Image != "" {
		p.image(*service, &s.Image)
		p.wrote(&s.Image, "services", s.Service, "image")
		service.Image = s.Image
	}
	if balance != "" {
		service.Balance = balance
		p.wrote(&s.Balance, "services", s.Service, "deploy", "labels", cluster.BalanceLabel)
	}
	p.settle(service, s.Environment, &s.Environment)
	if r := s.rollout(*service); r != nil {
		service.Update = *r
	}
	if len(s.Environment) > 0 || s.Image != "" {
		p.length += rolloutLength(*service, service.Update) + s.Pull
	}
}

func words[T ~string](list []T) (all []string) {
	for _, w := range list {
		all = append(all, string(w))
	}
	return all
}

// rolloutLength guesses: a replica that ignores its signal takes its grace to go, another a second, its successor a second; the delay
// after each, and the time that the last one is watched.
func rolloutLength(s cluster.Service, r cluster.Rollout) time.Duration {
	rounds := 1
	if r.Parallelism > 0 {
		rounds = (s.Replicas + r.Parallelism - 1) / r.Parallelism
	}
	boot, _ := time.ParseDuration(s.Environment["COIN_BOOT_DELAY"])
	each := 2*time.Second + boot
	if s.Environment["COIN_ON_SIGTERM"] == "ignore" {
		each += s.StopGrace - time.Second
	}
	return time.Duration(rounds)*(each+r.Delay) + r.Monitor
}

func (p *plan) oneOf(what string, text *string, accepted ...string) {
	if *text == "" {
		return
	}
	for _, a := range accepted {
		if *text == a {
			return
		}
	}
	p.wrong(text, "%s", unknown(what, *text, accepted))
}

// rollout is how the update is rolled out, or nil where nothing differs from what is in force.
func (s *Update) rollout(service cluster.Service) *cluster.Rollout {
	in := service.Update
	out := cluster.Strategy(s.Strategy).Rollout(in, service.Replicas)
	if s.Parallelism != nil {
		out.Parallelism = *s.Parallelism
	}
	if s.Delay != nil {
		out.Delay = *s.Delay
	}
	if s.Order != "" {
		out.Order = s.Order
	}
	if s.Monitor != nil {
		out.Monitor = *s.Monitor
	}
	if s.MaxFailureRatio != nil {
		out.MaxFailureRatio = *s.MaxFailureRatio
	}
	if s.FailureAction != "" {
		out.FailureAction = s.FailureAction
	}
	if out == in {
		return nil
	}
	return &out
}

// supported says whether the cluster knows the strategy. Lanes all know.
func (s *Update) supported(c cluster.Cluster) error {
	needed := cluster.Strategy(s.Strategy)
	if gated, ok := c.(cluster.GatewayRouter); ok && gated.NeedsGateway() && needed == cluster.BlueGreen && !s.gated {
		return fmt.Errorf("blue-green on this cluster needs a gateway in front of %s, by which it is switched; set gateway: true for it in "+
			"the deploy step", s.Service)
	}
	switch needed {
	case "", cluster.RollingUpdate, cluster.Serial, cluster.AllAtOnce:
		return nil
	}
	if k, ok := c.(cluster.Strategist); ok && slices.Contains(k.Strategies(), needed) {
		return nil
	}
	return fmt.Errorf("this cluster has no strategy %s; accepted: rolling, serial, all-at-once, or another cluster with --cluster", s.Strategy)
}

func (s *Update) play(ctx context.Context, st *stage) error {
	service, ok := st.service(s.Service)
	if !ok {
		return fmt.Errorf("update: no service %s is deployed", s.Service)
	}
	change := cluster.Change{Image: s.Image, Balance: cluster.Balance(s.Balance), Rollout: s.rollout(*service), Pull: s.Pull}
	change.Strategy = cluster.Strategy(s.Strategy)
	for _, e := range s.Environment {
		if change.Environment == nil {
			change.Environment = map[string]string{}
		}
		change.Environment[e.Key] = e.Value
	}
	st.previous[s.Service] = *service
	if change.Rollout != nil {
		service.Update = *change.Rollout
	}
	st.doing("replacing %s", plural(service.Replicas, "replica"))
	var err error
	if change.Strategy == cluster.Canary {
		err = s.canary(ctx, st, change)
	} else {
		err = st.cluster.Update(ctx, s.Service, change)
	}
	return st.rolledOut(err, s.Service)
}

// rolledOut turns the end of a rollout that was paused or rolled back into what the run goes on with: its events say so, and it is
// judged as a failure.
func (st *stage) rolledOut(err error, service string) error {
	var failed *cluster.RolloutError
	if errors.As(err, &failed) {
		if s, ok := st.service(service); ok && failed.Outcome == event.RolledBack {
			s.Update = st.previous[service].Update
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("update %s: %w", service, err)
	}
	return nil
}
