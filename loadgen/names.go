package loadgen

import (
	"sync"

	"coinbench/history"
	"coinbench/internal/visible"
)

// nameID is an interned name; 0 is the empty one.
type nameID uint16

// maxNames bounds what a foreign server can make us remember; names beyond it count as history.Others.
const maxNames = 4096

// names interns the replica and version names that answers carry, so that the hot path need not allocate.
type names struct {
	mu   sync.RWMutex
	ids  map[string]nameID
	list []string
}

func newNames() *names {
	return &names{ids: map[string]nameID{"": 0}, list: []string{""}}
}

func (n *names) id(b []byte) nameID {
	n.mu.RLock()
	id, known := n.ids[string(b)] // the compiler makes this conversion free
	n.mu.RUnlock()
	if known {
		return id
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	name := visible.Text(string(b), visible.Nothing)
	if len(n.list) >= maxNames {
		name = history.Others
	}
	if id, known = n.ids[name]; known { // another spelling of it
		if len(n.ids) < 2*maxNames {
			n.ids[string(b)] = id
		}
		return id
	}
	id = nameID(len(n.list))
	n.ids[string(b)], n.ids[name] = id, id
	n.list = append(n.list, name)
	return id
}

func (n *names) name(id nameID) string {
	if id == 0 {
		return ""
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.list[id]
}

// pairs number the pairs of a replica's and a version's name: a shard's own memory of what all shards share.
type pairs struct {
	known map[[2]nameID]int
}

// id is 0 of an answer that names neither.
func (p *pairs) id(e *engine, replica, version nameID) int {
	key := [2]nameID{replica, version}
	if key == [2]nameID{} {
		return 0
	}
	id, known := p.known[key]
	if !known {
		if p.known == nil || len(p.known) >= maxNames { // names without end: begin anew
			p.known = map[[2]nameID]int{}
		}
		e.mu.Lock()
		id = e.parts.ID(e.replicas.name(replica), e.versions.name(version))
		e.mu.Unlock()
		p.known[key] = id
	}
	return id
}
