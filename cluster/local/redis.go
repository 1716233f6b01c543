package local

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"coinbench/cluster"
	"coinbench/cluster/scrape"
	"coinbench/history/event"
)

// redisServer is the app's Redis: embedded, or a real one that was there before and stays as it is.
type redisServer struct {
	embedded *miniredis.Miniredis // nil: a real one
	address  string
	client   *goredis.Client
	tasks    map[*service]string   // the names under which it was started
	backends map[*service]*backend // in rotation
}

// newRedis starts the embedded Redis, or reaches for the real one.
func newRedis(address string) (*redisServer, error) {
	scrape.QuietRedis()
	r := &redisServer{address: address, tasks: map[*service]string{}, backends: map[*service]*backend{}}
	if address == "" {
		r.embedded = miniredis.NewMiniRedis()
		if err := r.embedded.StartAddr("127.0.0.1:0"); err != nil {
			return nil, fmt.Errorf("start the embedded redis: %w", err)
		}
		r.address = r.embedded.Addr()
	}
	r.client = goredis.NewClient(&goredis.Options{
		Addr: r.address, MaxRetries: -1, PoolSize: 1, DisableIdentity: true, Protocol: 2,
		DialTimeout: time.Second, ReadTimeout: time.Second, WriteTimeout: time.Second,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := r.client.Ping(ctx).Err(); err != nil {
		r.close()
		return nil, fmt.Errorf("redis at %s: %w; start it, or leave --redis out to use the embedded one", r.address, err)
	}
	return r, nil
}

// attach puts Redis in rotation, or takes it out. The caller holds the cluster's mutex.
func (r *redisServer) attach(s *service, replicas int) {
	b := r.backends[s]
	switch {
	case replicas > 0 && b == nil:
		task, started := r.tasks[s]
		if !started {
			place := s.name + ".1"
			s.c.numbers[place]++
			task = fmt.Sprintf("%s#%d", place, s.c.numbers[place])
			r.tasks[s] = task
			s.c.emit(s.name, task, event.TaskStarted{Image: s.Wanted.Image, Address: r.address})
		}
		b = &backend{task: task, slot: 1, address: r.address}
		r.backends[s] = b
		s.rotation.join(b)
		s.c.emit(s.name, b.task, event.TaskJoined{})
	case replicas == 0 && b != nil:
		delete(r.backends, s)
		s.rotation.leave(b, func() {})
		s.c.emit(s.name, b.task, event.TaskLeft{})
	}
	s.c.bell.Ring(nil)
}

// remove takes Redis out of rotation for good; one that was there before lives on. The caller holds the cluster's mutex.
func (r *redisServer) remove() {
	for s, task := range r.tasks {
		r.attach(s, 0)
		if r.embedded != nil {
			s.c.emit(s.name, task, event.TaskStopping{})
			s.c.emit(s.name, task, event.TaskGone{})
		}
	}
}

// status is what Status shows of it. The caller holds the cluster's mutex.
func (r *redisServer) status(s *service) []cluster.Task {
	b := r.backends[s]
	if b == nil {
		return nil
	}
	return []cluster.Task{{Name: b.task, Service: s.name, Slot: 1, Node: "local", Image: s.Wanted.Image, State: cluster.Running,
		Address: r.address}}
}

func (r *redisServer) close() {
	r.client.Close()
	if r.embedded != nil {
		r.embedded.Close()
	}
}
