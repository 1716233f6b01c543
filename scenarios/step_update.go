package scenarios

import (
	"context"
	"fmt"
	"strings"
	"time"

	"coinbench/cluster"
)

// Update changes a service by a rolling update, with the words and defaults of Docker Swarm.
type Update struct {
	Service       string         `json:"service" jsonschema:"required" jsonschema_description:"The service that is updated."`
	Environment   Map[string]    `json:"environment" jsonschema_description:"Variables that change; an empty value removes one."`
	Image         string         `json:"image" jsonschema_description:"Another image or tag."`
	Balance       string         `json:"balance" jsonschema:"enum=round-robin,enum=random,enum=least-connections" jsonschema_description:"How connections are spread over the replicas."`
	Parallelism   *int           `json:"parallelism" jsonschema_description:"Replicas replaced at the same time; 0 for all. Default: the Compose file's."`
	Delay         *time.Duration `json:"delay" jsonschema_description:"Time after each replica. Default: the Compose file's."`
	Order         string         `json:"order" jsonschema:"enum=stop-first,enum=start-first" jsonschema_description:"Whether the old replica goes before or after the new one comes."`
	Monitor       *time.Duration `json:"monitor" jsonschema_description:"How long a new replica is watched for failure."`
	FailureAction string         `json:"failure_action" jsonschema:"enum=pause,enum=continue,enum=rollback" jsonschema_description:"What is done when too many replicas fail."`
}

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
	return strings.TrimSuffix(fmt.Sprintf("update %s to %s", s.Service, strings.Join(parts, ", ")), " to ")
}

func (s *Update) check(p *plan) {
	p.running()
	p.oneOf("order", &s.Order, "stop-first", "start-first")
	p.oneOf("failure action", &s.FailureAction, "pause", "continue", "rollback")
	balance := p.balance(&s.Balance)
	if s.Delay != nil {
		p.bounded(s.Delay, "delay")
	}
	if s.Monitor != nil {
		p.bounded(s.Monitor, "monitor")
	}
	service := p.service(s.Service, &s.Service)
	if service == nil {
		return
	}
	if len(s.Environment) == 0 && s.Image == "" && s.Balance == "" {
		p.wrong(nil, "the update changes nothing; accepted: environment, image or balance")
	}
	if s.Image != "" {
		service.Image = s.Image
	}
	if balance != "" {
		service.Balance = balance
	}
	p.settle(service, s.Environment, &s.Environment)
	if r := s.rollout(service.Update); r != nil {
		service.Update = *r
	}
	if len(s.Environment) > 0 || s.Image != "" {
		p.length = rolloutLength(service.Replicas, service.Update)
	}
}

// rolloutLength guesses: two seconds for a replica to go and its successor to come, the delay after each, and the
// time that the last one is watched.
func rolloutLength(replicas int, r cluster.Rollout) time.Duration {
	rounds := 1
	if r.Parallelism > 0 {
		rounds = (replicas + r.Parallelism - 1) / r.Parallelism
	}
	return time.Duration(rounds)*(2*time.Second+r.Delay) + r.Monitor
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
func (s *Update) rollout(in cluster.Rollout) *cluster.Rollout {
	out := in
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
	if s.FailureAction != "" {
		out.FailureAction = s.FailureAction
	}
	if out == in {
		return nil
	}
	return &out
}

func (s *Update) play(ctx context.Context, st *stage) error {
	service, ok := st.service(s.Service)
	if !ok {
		return fmt.Errorf("update: no service %s is deployed", s.Service)
	}
	change := cluster.Change{Image: s.Image, Balance: cluster.Balance(s.Balance), Rollout: s.rollout(service.Update)}
	for _, e := range s.Environment {
		if change.Environment == nil {
			change.Environment = map[string]string{}
		}
		change.Environment[e.Key] = e.Value
	}
	st.doing("replacing %s", plural(service.Replicas, "replica"))
	if err := st.cluster.Update(ctx, s.Service, change); err != nil {
		return fmt.Errorf("update %s: %w", s.Service, err)
	}
	if change.Rollout != nil {
		service.Update = *change.Rollout
	}
	return nil
}
