package loadgen

import "sync"

// nameID stands for an interned name; 0 is the empty one.
type nameID uint16

// maxNames bounds what a foreign server can make us remember; names beyond it count as otherNames.
const maxNames = 4096

const otherNames = "(other)"

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
	name := string(b)
	if len(n.list) >= maxNames {
		name = otherNames
	}
	if id, known = n.ids[name]; known {
		return id
	}
	id = nameID(len(n.list))
	n.ids[name] = id
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
