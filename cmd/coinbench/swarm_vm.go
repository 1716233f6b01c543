package main

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"coinbench/cluster/swarm/images"
	"coinbench/cluster/swarm/vipvm"
)

func vmCommand(p process) *cobra.Command {
	var (
		nodes, memory int
		shares        []string
		timeout       time.Duration
	)
	c := &cobra.Command{
		Use:   "vm -- COMMAND [ARG...]",
		Short: "Run a command on a Swarm under a kernel of its own, which has IPVS (Debian, root)",
		Long: `vm starts Debian's User Mode Linux, a kernel that is an ordinary program, over this machine's files, makes a lab of
several nodes there and runs the command on it: virtual addresses and the routing mesh work there, whatever this machine's
kernel has. What the command writes is gone afterwards, except in the folders given with --share. All of it shares one
processor: it is for behaviour, not for speed.
It installs what it needs (user-mode-linux, docker.io) with apt-get, once. The exit code is the command's own.`,
		Example: `  coinbench swarm vm --share /tmp/vm -- coinbench run balancing.yaml --cluster swarm --deadline 5m --out /tmp/vm/run
  coinbench swarm vm -- docker node ls`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := p.interruptible()
			defer stop()
			dir, err := os.MkdirTemp("", "coinbench-vm-")
			if err != nil {
				return unmeasured(err)
			}
			defer os.RemoveAll(dir)
			program, registry := filepath.Join(dir, "coinbench"), filepath.Join(dir, "registry")
			binary, err := images.Binary(ctx, "", nil)
			if err != nil {
				return unmeasured(err)
			}
			set, err := labImages(ctx, p)
			if err != nil {
				return unmeasured(err)
			}
			if err := errors.Join(os.WriteFile(program, binary, 0o755), vipvm.Fill(ctx, registry, set)); err != nil {
				return unmeasured(err)
			}
			status, err := vipvm.Run(ctx, vipvm.Options{
				Shares: shares, Timeout: timeout, MemoryMB: memory, Stdout: p.stdout, Stderr: p.stderr,
				Swarm: &vipvm.Swarm{Nodes: nodes, Program: program, Registry: registry},
			}, args...)
			if err != nil {
				return unmeasured(err)
			}
			return exit(status)
		},
	}
	c.Flags().IntVar(&nodes, "nodes", 2, "number of nodes of the Swarm")
	c.Flags().IntVar(&memory, "memory", 3072, "memory of the guest, in `MB`")
	c.Flags().StringArrayVar(&shares, "share", nil, "folder of this machine that the command may write to; may be repeated")
	c.Flags().DurationVar(&timeout, "timeout", 15*time.Minute, "give up after this time")
	return c
}
