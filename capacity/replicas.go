package capacity

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"coinbench/capacity/dockercoins"
	"coinbench/history"
)

// ReplicaUse is how one replica was used between two readings of the counters.
type ReplicaUse struct {
	Service     string
	Task        string
	Utilisation *float64 // occupied share of its slots, 0..1; nil: it has no limit, or serves nothing
	Queue       *float64 // requests that waited for a slot at the second reading; nil as above
	PerS        float64  // requests a second; of the driver loops, and of the store units that were counted
	Share       float64  // of what the service's replicas did together, 0..1
}

// Replicas compares two readings of every task's counters. A task that is not in both is left out, as is the host; services are in the
// order of their names, tasks in that of theirs, 2 before 10.
func Replicas(roles history.Roles, first, second []history.Reading) []ReplicaUse {
	roles = dockercoins.Default(roles)
	var all []ReplicaUse
	totals := map[string]float64{}
	for _, last := range second {
		i := slices.IndexFunc(first, func(r history.Reading) bool { return r.Service == last.Service && r.Task == last.Task })
		if i < 0 || last.Service == "host" || last.At <= first[i].At {
			continue
		}
		sp := span{first: first[i], last: last}
		u := ReplicaUse{Service: last.Service, Task: last.Task}
		counter := history.Requests
		switch last.Service {
		case roles.Driver.Service:
			counter = history.Hashes
		case roles.Store.Service:
			counter = history.RedisHashes
		}
		u.PerS = sp.delta(counter) / sp.seconds()
		if slots := last.Values.Of(history.Concurrency); slots > 0 {
			u.Utilisation = ptr(min(1, sp.delta(history.Busy)/(slots*sp.seconds())))
			u.Queue = ptr(sum(last.Values, history.QueueLength))
		}
		totals[u.Service] += u.PerS
		all = append(all, u)
	}
	for i := range all {
		if total := totals[all[i].Service]; total > 0 {
			all[i].Share = all[i].PerS / total
		}
	}
	slices.SortStableFunc(all, func(a, b ReplicaUse) int { return compareTasks(a.Task, b.Task) })
	return all
}

// compareTasks compares names such as rng.2#1 by service, slot and number.
func compareTasks(a, b string) int {
	x, y := taskParts(a), taskParts(b)
	return cmp.Or(cmp.Compare(x.service, y.service), cmp.Compare(x.slot, y.slot), cmp.Compare(x.number, y.number), cmp.Compare(a, b))
}

type taskPlace struct {
	service      string
	slot, number int
}

func taskParts(name string) (p taskPlace) {
	place, number, _ := strings.Cut(name, "#")
	p.service = place
	if i := strings.LastIndexByte(place, '.'); i >= 0 {
		p.service = place[:i]
		p.slot, _ = strconv.Atoi(place[i+1:])
	}
	p.number, _ = strconv.Atoi(number)
	return p
}
