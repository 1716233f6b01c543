package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"coinbench/cluster"
	"coinbench/cluster/swarm/setup"
	"coinbench/cluster/swarm/setup/peers"
	"coinbench/loadgen/remote"
	"coinbench/loadgen/remote/frame"
	"coinbench/reports"
)

func doctorCommand(p process) *cobra.Command {
	var where clusterFlags
	on := "swarm"
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Examine a Swarm: each line is ok, or says what to do",
		Example: `  coinbench doctor
  coinbench doctor --registry 10.0.0.1:5000`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if on != "swarm" {
				return usage(fmt.Errorf("--cluster %s: there is nothing to examine; accepted: swarm", on))
			}
			ctx, stop := p.interruptible()
			defer stop()
			patient, err := where.swarm.engine(false)
			if err != nil {
				return err
			}
			defer patient.Close()
			bad := 0
			everywhere := func(ctx context.Context, jobs cluster.Jobs, work [][]byte, origin time.Time, said func(string, []byte)) error {
				return remote.Run(ctx, jobs, remote.Job{Args: []string{"vitals"}, Work: work, Origin: origin,
					Message: func(_ int, node string, message []byte) { said(node, message) }, Lost: func(int, string) {}})
			}
			err = setup.Doctor(ctx, patient, everywhere, func(f setup.Finding) {
				word := "ok"
				if !f.OK {
					word = "!!"
					bad++
				}
				lines := reports.FoldWords(f.Text, width(p.stdout)-29)
				fmt.Fprintf(p.stdout, "%s  %-24s %s\n", word, f.What, strings.Join(lines, "\n"+strings.Repeat(" ", 29)))
			})
			if err != nil {
				return unmeasured(err)
			}
			if bad > 0 {
				return exit(exitFail)
			}
			return nil
		},
	}
	c.Flags().StringVar(&on, "cluster", on, "what to examine: swarm")
	where.swarm.add(c)
	return c
}

// vitalsCommand is what the doctor runs on every node.
func vitalsCommand(p process) *cobra.Command {
	return &cobra.Command{
		Use:     "vitals",
		Short:   "Say how this node is (coinbench starts this itself)",
		Example: "  COIN_RELAY=10.0.1.2:8083 COIN_JOB=job1 COIN_COPY=1 coinbench vitals",
		Hidden:  true,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := p.interruptible()
			defer stop()
			env := environment(p.environ)
			node := env[cluster.NodeVariable]
			l, err := net.Listen("tcp", ":"+peers.Port)
			if err != nil {
				return unmeasured(err)
			}
			served := make(chan error, 1)
			serving, quit := context.WithCancel(ctx)
			go func() { served <- peers.Serve(serving, l) }()
			defer func() { quit(); <-served }()
			order, self, err := meet(ctx, env)
			if err != nil {
				return unmeasured(err)
			}
			v := setup.Vitals{Node: node, OriginAt: order.Origin.Round(0), Off: order.Off, FreeBytes: freeBytes("/")}
			if v.Address, err = ownAddress(env[cluster.MeetingVariable]); err != nil {
				return unmeasured(err)
			}
			copies, err := strconv.Atoi(string(order.Work))
			if err != nil {
				return unmeasured(fmt.Errorf("the work of vitals: %w", err))
			}
			v.Peers = tryPeers(ctx, "tasks."+env[cluster.JobVariable], copies, v.Address)
			data, err := json.Marshal(v)
			if err != nil {
				return unmeasured(err)
			}
			out := frame.NewWriter(p.stdout, self, node)
			err = out.Message(data)
			select { // others may not have reached this one yet
			case <-order.Stop:
			case <-ctx.Done():
			case <-time.After(vitalsStay):
			}
			return unmeasured(errors.Join(err, out.End()))
		},
	}
}

const vitalsStay = 15 * time.Second

// ownAddress is this container's address on the network from which it reaches another.
func ownAddress(other string) (string, error) {
	conn, err := net.Dial("udp", other) // sends nothing
	if err != nil {
		return "", err
	}
	defer conn.Close()
	host, _, err := net.SplitHostPort(conn.LocalAddr().String())
	return host, err
}

// tryPeers tries all others that a name resolves to, at the same time.
func tryPeers(ctx context.Context, name string, want int, own string) []setup.PeerVitals {
	found, _ := peers.Resolve(ctx, name, want) // whom it does not know is missing in the result
	found = slices.DeleteFunc(found, func(a string) bool { return a == own })
	list := make([]setup.PeerVitals, len(found))
	var wg sync.WaitGroup
	for i, address := range found {
		wg.Go(func() {
			trip, err := peers.Try(ctx, net.JoinHostPort(address, peers.Port))
			list[i] = setup.PeerVitals{Address: address, Trip: trip}
			if err != nil {
				list[i].Fault = err.Error()
			}
		})
	}
	wg.Wait()
	return list
}
