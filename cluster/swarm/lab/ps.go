package lab

import (
	"context"
	"net/netip"
	"time"

	"github.com/moby/moby/client"
)

// Node is what is known of a node.
type Node struct {
	Name    string
	Address netip.Addr
	Host    string // the value of DOCKER_HOST
	PID     int    // of the machine's init process on the host; 0: the machine is off
	Engine  bool   // dockerd runs
	Role    string // in the swarm, as the manager sees it: manager or worker; "": the manager does not answer
	State   string // ready, down, unknown or disconnected; "": the manager does not answer
}

// Ps returns the nodes as they are now. That the manager does not answer is no error; it is seen from the nodes.
func (l *Lab) Ps(ctx context.Context) ([]Node, error) {
	fresh, err := Open(l.state.Name)
	if err != nil {
		return nil, err
	}
	s := fresh.state
	var nodes []Node
	index := map[string]int{}
	for i, n := range s.Nodes {
		node := Node{Name: n.Name, Address: n.Address, Host: fresh.Host(n.Name)}
		if n.Init.alive() {
			node.PID = n.Init.PID
			engines, err := s.engines(n)
			if err != nil && n.Init.alive() {
				return nil, err
			}
			node.Engine = len(engines) > 0
		}
		nodes = append(nodes, node)
		index[n.Name] = i
	}
	if !nodes[0].Engine {
		return nodes, nil
	}
	manager, err := fresh.Client("")
	if err != nil {
		return nil, err
	}
	defer manager.Close()
	asking, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	found, err := manager.NodeList(asking, client.NodeListOptions{})
	if err != nil {
		return nodes, ctx.Err()
	}
	for _, n := range found.Items {
		if i, ok := index[n.Description.Hostname]; ok {
			nodes[i].Role, nodes[i].State = string(n.Spec.Role), string(n.Status.State)
		}
	}
	return nodes, nil
}
