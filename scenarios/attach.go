package scenarios

import (
	"context"
	"fmt"
	"strings"

	"coinbench/cluster"
	"coinbench/history"
	"coinbench/history/event"
)

// A scenario that is played on an app that is up finds services with replicas, where another deploys them. The record says so in the same
// words: what is in force of each service, and which tasks are in rotation.

// adopt records the app as it is before the first step.
func (st *stage) adopt(ctx context.Context) error {
	all, err := st.cluster.Status(ctx)
	if err != nil {
		return fmt.Errorf("look at the app that is up: %w", err)
	}
	for _, s := range all {
		st.say(s.Name, event.ServiceDeployed{InForce: s.InForce()})
		for _, t := range s.Tasks {
			if t.State != cluster.Running && t.State != cluster.Starting {
				continue
			}
			_, tag, _ := strings.Cut(t.Image[strings.LastIndexByte(t.Image, '/')+1:], ":")
			st.event(history.NewEvent(s.Name, t.Name, event.TaskStarted{Version: tag, Image: t.Image, Address: t.Address}))
			if t.State == cluster.Running {
				st.event(history.NewEvent(s.Name, t.Name, event.TaskJoined{}))
			}
		}
	}
	return st.edge(ctx) // what was counted before the run is no part of it
}

// adjust makes the app that is up what a deploy step asks for, and changes nothing else: tasks that would be the same go on. Tasks that
// would not are all replaced at once, as nothing is measured yet.
func (st *stage) adjust(ctx context.Context, app cluster.App) error {
	all, err := st.cluster.Status(ctx)
	if err != nil {
		return fmt.Errorf("look at the app that is up: %w", err)
	}
	for _, is := range all {
		shall, ok := app.Service(is.Name)
		if !ok {
			return fmt.Errorf("%s is up, and was not when the run began", is.Name)
		}
		replicas := is.Replicas
		if !is.SameTasks(shall) || is.Balance != shall.Balance {
			change, err := changeTo(is.Service, shall)
			if err != nil {
				return err
			}
			if !is.SameTasks(shall) && replicas > 0 {
				if err := st.scale(ctx, is.Name, 0); err != nil {
					return err
				}
				replicas = 0
			}
			st.doing("changing %s", is.Name)
			if err := st.cluster.Update(ctx, is.Name, change); err != nil {
				return fmt.Errorf("change %s: %w", is.Name, err)
			}
		}
		if replicas != shall.Replicas {
			if err := st.scale(ctx, is.Name, shall.Replicas); err != nil {
				return err
			}
		}
	}
	st.app = app
	return nil
}

// changeTo is the update that makes a service another, as far as an update can.
func changeTo(is, shall cluster.Service) (cluster.Change, error) {
	change := cluster.Change{Image: shall.Image, Balance: shall.Balance, Environment: map[string]string{}}
	for name := range is.Environment {
		change.Environment[name] = ""
	}
	for name, value := range shall.Environment {
		change.Environment[name] = value
	}
	after, err := is.Changed(change)
	if err == nil && !after.SameTasks(shall) {
		err = fmt.Errorf("the health check and stop_grace of a service that is up cannot change; accepted: replicas, environment, image and " +
			"balance")
	}
	if err != nil {
		return cluster.Change{}, fmt.Errorf("change %s: %w", is.Name, err)
	}
	return change, nil
}
