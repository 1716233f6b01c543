// Package services is the app: rng, hasher, worker and webui, each in a package of its own, behind one table; and the gateway that
// can stand in front of one of them.
//
// In goes the name of a service, its environment and the process around it; what comes out is a running service and,
// when it stops, why. The package reads no environment, opens no standard stream and installs no signal handler:
// that is the command's part.
package services

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"coinbench/internal/precise"
	"coinbench/services/gateway"
	"coinbench/services/hasher"
	"coinbench/services/rng"
	"coinbench/services/serve"
	"coinbench/services/settings"
	"coinbench/services/webui"
	"coinbench/services/worker"
)

// quietRedis stops go-redis from writing to standard error on its own: every error of its also comes back as an error,
// and the services say those in their logs.
var quietRedis = sync.OnceFunc(func() { redis.SetLogger(silence{}) })

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// table has a line for each service.
func table() map[string]func(context.Context, settings.Settings, serve.Process) error {
	return map[string]func(context.Context, settings.Settings, serve.Process) error{
		settings.RNG:    rng.Run,
		settings.Hasher: hasher.Run,
		settings.Worker: worker.Run,
		settings.WebUI:  webui.Run,

		settings.Gateway: gateway.Run,
	}
}

// Names returns the names of the services.
func Names() []string { return settings.Services() }

// IO is what a service is given of the process that it runs in.
type IO struct {
	Host  string           // the host's name; the replica is called so unless COIN_REPLICA says otherwise
	Log   io.Writer        // the service's log
	Stop  <-chan os.Signal // SIGTERM and interrupts; what they do is COIN_ON_SIGTERM's business. It should be buffered.
	Stdin io.Reader        // with COIN_SUPERVISED: the service exits at once when it ends

	// Announce opens what the bound addresses are announced on, file descriptor 3. It is called with COIN_SUPERVISED
	// only: without a supervisor that descriptor may be anybody's.
	Announce func() (io.WriteCloser, error)
}

// Run runs a service until it is told to stop or ctx is cancelled. An environment that makes no sense is an error
// that joins every fault (see settings.Parse). Whatever the service was still doing when Run returns is to be ended by the
// end of the process.
func Run(ctx context.Context, name string, env map[string]string, with IO) error {
	run, ok := table()[name]
	if !ok {
		return fmt.Errorf("unknown service %q; there are %s", name, strings.Join(Names(), ", "))
	}
	s, err := settings.Parse(name, env)
	if err != nil {
		return err
	}
	quietRedis()
	late := serve.NewLateness(precise.Sleep)
	p := serve.Process{Host: with.Host, Log: with.Log, Stop: with.Stop, Sleep: late.Sleep, Lateness: late}
	if s.Supervised {
		if with.Announce == nil || with.Stdin == nil {
			return fmt.Errorf("%s: COIN_SUPERVISED needs a supervisor: a standard input and file descriptor 3", name)
		}
		if p.Announce, err = with.Announce(); err != nil {
			return fmt.Errorf("%s: open file descriptor 3 for the announcement: %w", name, err)
		}
		var orphaned context.CancelFunc
		ctx, orphaned = context.WithCancel(ctx)
		defer orphaned()
		go func() {
			io.Copy(io.Discard, with.Stdin)
			orphaned()
		}()
	}
	return run(ctx, s, p)
}
