package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"coinbench/cmd/coinbench/early"
	"coinbench/services"
)

// serviceCommand is the entrypoint of every image: the app's services are this same binary.
func serviceCommand(p process) *cobra.Command {
	return &cobra.Command{
		Use:   "service " + strings.Join(services.Names(), "|"),
		Short: "Be one of the app's services, configured by environment (docs/services.md)",
		Example: `  COIN_LISTEN=127.0.0.1:8001 COIN_ADMIN_LISTEN=127.0.0.1:9001 coinbench service rng
  COIN_LISTEN=127.0.0.1:8002 COIN_ADMIN_LISTEN=127.0.0.1:9002 COIN_DELAY=50ms coinbench service hasher`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: services.Names(),
		RunE: func(c *cobra.Command, args []string) error {
			stop := make(chan os.Signal, 2)
			signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
			defer signal.Stop(stop)
			early.Stop()
			host, _ := os.Hostname()
			err := services.Run(context.Background(), args[0], environment(p.environ), services.IO{
				Host: host, Log: p.stderr, Stop: stop, Stdin: p.stdin,
				Announce: func() (io.WriteCloser, error) {
					f := os.NewFile(3, "announcement")
					if f == nil {
						return nil, errors.New("it is not open")
					}
					return f, nil
				},
			})
			return usage(err)
		},
	}
}

// environment is a list of NAME=value as a map.
func environment(list []string) map[string]string {
	env := make(map[string]string, len(list))
	for _, entry := range list {
		if name, value, ok := strings.Cut(entry, "="); ok {
			env[name] = value
		}
	}
	return env
}
