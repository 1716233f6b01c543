// Package engineerr is the one table of what engines say when something is wrong: what it means to coinbench, how it is recognised, and
// what to do about it. It asks no engine.
package engineerr

import (
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// Kind is what an engine's error, or what it says of a task, means to coinbench.
type Kind string

// The kinds. Those with advice are faults that waiting does not help against.
const (
	Passing      Kind = "passing"       // of a moment: of the engine's restart, or of a Swarm without a leader
	NotFound     Kind = "not found"     // it is not there, or not any more
	Taken        Kind = "name taken"    // a service of that name is there
	PortTaken    Kind = "port taken"    //
	InUse        Kind = "in use"        // a network that something is still attached to
	BeingRemoved Kind = "being removed" // a container that goes already
	NoSocket     Kind = "no socket"     // the engine's socket is not where a container was to be given it
	SlowNetwork  Kind = "slow network"  // the first container of a network on its node is given 20 s to be attached
	NoPlace      Kind = "no place"      // no node may or can take a task
	Unhealthy    Kind = "unhealthy"     // a task whose health check failed
	NotFrozen    Kind = "not frozen"    // a container to be thawed was replaced meanwhile, or has ended
	Joining      Kind = "joining"       // a node that is slow to join goes on by itself
	NoImage      Kind = "no image"
	Forbidden    Kind = "forbidden"
	WrongMachine Kind = "wrong machine"
	BadMount     Kind = "bad mount"
	NoCommand    Kind = "no command"
	NoSpace      Kind = "no space"
)

type sign struct {
	kind  Kind
	class func(error) bool
	texts []string
	since string
}

func (s sign) in(text string) bool {
	return len(s.texts) > 0 && !slices.ContainsFunc(s.texts, func(part string) bool { return !strings.Contains(text, part) })
}

// signs are how each kind is recognised: by the class of the error, which is the status of the answer, or by all of some texts.
// since is the first engine that it was seen with; testdata/errors.txt has answers that were recorded.
var signs = []sign{
	{Passing, client.IsErrConnectionFailed, nil, "20.10"},
	{Passing, errdefs.IsUnavailable, nil, "20.10"},
	{Passing, nil, []string{"EOF"}, "20.10"},
	{Passing, nil, []string{"connection reset"}, "20.10"},
	{Passing, nil, []string{"update out of sequence"}, "20.10"},
	{Passing, nil, []string{"does not have a leader"}, "20.10"},
	{NotFound, errdefs.IsNotFound, nil, "20.10"},
	{NotFound, nil, []string{"network", "not found"}, "20.10"}, // of a network that the Swarm has forgotten: status 500
	{Taken, errdefs.IsAlreadyExists, nil, "20.10"},
	{Taken, errdefs.IsConflict, nil, "20.10"},
	{PortTaken, nil, []string{"port", "already in use"}, "20.10"},
	{PortTaken, nil, []string{"address already in use"}, "20.10"},
	{PortTaken, nil, []string{"port is already allocated"}, "20.10"},
	{InUse, nil, []string{"is in use"}, "20.10"},
	{InUse, nil, []string{"active endpoints"}, "20.10"},
	{BeingRemoved, nil, []string{"removal of container", "already in progress"}, "20.10"},
	{NoSocket, nil, []string{"bind source path"}, "20.10"},
	{SlowNetwork, nil, []string{"attach", "context deadline exceeded"}, "20.10"},
	{NoPlace, nil, []string{"no suitable node"}, "20.10"},
	{Unhealthy, nil, []string{"unhealthy"}, "20.10"},
	{NotFrozen, nil, []string{"is not paused"}, "20.10"},
	{NotFrozen, nil, []string{"is not running"}, "20.10"},
	{NotFrozen, nil, []string{"No such container"}, "20.10"},
	{Joining, nil, []string{"will continue in the background"}, "20.10"},
	{NoImage, nil, []string{"No such image"}, "20.10"},
	{NoImage, nil, []string{"manifest unknown"}, "20.10"},
	{Forbidden, nil, []string{"pull access denied"}, "20.10"},
	{WrongMachine, nil, []string{"no matching manifest"}, "20.10"},
	{BadMount, nil, []string{"invalid mount"}, "20.10"},
	{NoCommand, nil, []string{"executable file not found"}, "20.10"},
	{NoSpace, nil, []string{"no space left on device"}, "20.10"},
}

// Is says whether an error of the engine is of the kind; nil is of none.
func (k Kind) Is(err error) bool {
	if err == nil {
		return false
	}
	for _, s := range signs {
		if s.kind == k && (s.class != nil && s.class(err) || s.in(err.Error())) {
			return true
		}
	}
	return false
}

// In says whether what the engine says of a task is of the kind.
func (k Kind) In(text string) bool {
	for _, s := range signs {
		if s.kind == k && s.in(text) {
			return true
		}
	}
	return false
}

// Advice is what to do about a fault that waiting does not help against; "": it is none.
func Advice(fault string) string {
	for _, row := range []struct {
		kind Kind
		text string
	}{
		{NoImage, "push the image where every node can pull it: coinbench images push --registry HOST:PORT, then --registry HOST:PORT"},
		{Forbidden, "push the image to a registry that every node may pull from: coinbench images push --registry HOST:PORT"},
		{WrongMachine, "the image is made for another machine"},
		{BadMount, "correct the mount"},
		{NoCommand, "correct the command"},
		{NoSpace, "make room on the node"},
	} {
		if row.kind.In(fault) {
			return row.text
		}
	}
	return ""
}

// Advised is a fault with what to do about it.
func Advised(fault string) string {
	if advice := Advice(fault); advice != "" {
		return fault + "; " + advice
	}
	return fault
}
