package vipvm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"coinbench/cluster/swarm/images"
	"coinbench/cluster/swarm/registry"
)

// Fill puts images into the folder of a registry, for Swarm.Registry. They are compressed here, where that is quick.
func Fill(ctx context.Context, dir string, set images.Set) error {
	fault := func(err error) error { return fmt.Errorf("fill the registry %s: %w", dir, err) }
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fault(err)
	}
	serving, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- registry.Serve(serving, l, dir) }()
	direct := &http.Transport{}
	_, err = images.Push(ctx, images.Remote{Registry: l.Addr().String(), Insecure: true, Transport: direct}, set)
	direct.CloseIdleConnections()
	stop()
	if err = errors.Join(err, <-served); err != nil {
		return fault(err)
	}
	return nil
}
