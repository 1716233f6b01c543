package history

import (
	"cmp"
	"slices"
	"strings"
)

// MaxParts is how many pairs of a replica and a version a load tells apart. Further ones are counted in a Part of their version whose
// replica is Others and, beyond twice as many, in one whose version is Others as well.
const MaxParts = 128

// Others names what is counted together, for want of a place of its own.
const Others = "(other)"

// PartNames numbers the pairs of a replica and a version in the order in which they are met. Its zero value is empty.
type PartNames struct {
	ids  map[partName]int
	list []partName // by number, less 1
}

type partName struct{ replica, version string }

// ID is a pair's number, greater than 0; that of two empty names is 0. The numbers are at most 2 MaxParts + 1.
func (p *PartNames) ID(replica, version string) int {
	if replica == "" && version == "" {
		return 0
	}
	if p.ids == nil {
		p.ids = map[partName]int{}
	}
	for _, try := range []struct {
		name partName
		room int
	}{{partName{replica, version}, MaxParts}, {partName{Others, version}, 2 * MaxParts}} {
		if id, known := p.ids[try.name]; known {
			return id
		}
		if len(p.list) < try.room {
			return p.add(try.name)
		}
	}
	all := partName{Others, Others}
	if id, known := p.ids[all]; known {
		return id
	}
	return p.add(all)
}

func (p *PartNames) add(name partName) int {
	p.list = append(p.list, name)
	p.ids[name] = len(p.list)
	return len(p.list)
}

// Names are those of the numbers greater than 0.
func (p *PartNames) Names(id int) (replica, version string) {
	name := p.list[id-1]
	return name.replica, name.version
}

// Part is the interval's part of a version's replica, which is made in its place if there is none. It stays where it is until the
// next one is made.
func (i *Interval) Part(replica, version string) *Part {
	at, known := slices.BinarySearchFunc(i.Parts, Part{Replica: replica, Version: version}, compareParts)
	if !known {
		i.Parts = slices.Insert(i.Parts, at, Part{Replica: replica, Version: version})
	}
	return &i.Parts[at]
}

func compareParts(a, b Part) int {
	return cmp.Or(strings.Compare(a.Replica, b.Replica), strings.Compare(a.Version, b.Version))
}

// Of sums the parts that keep is true of, such as those of one replica or of one version.
func (i Interval) Of(keep func(replica, version string) bool) Part {
	sum := Part{Response: NewHistogram()}
	for _, p := range i.Parts {
		if keep(p.Replica, p.Version) {
			sum.Merge(p)
		}
	}
	return sum
}

// Merge adds what became of other's requests.
func (p *Part) Merge(other Part) {
	p.OK += other.OK
	p.Failures = addCounts(p.Failures, other.Failures)
	p.Response = mergeHistogram(p.Response, other.Response)
}

// Failed is the number of requests that did not succeed.
func (p Part) Failed() int64 { return sumOf(p.Failures) }

func sumOf[K comparable](counts map[K]int64) (sum int64) {
	for _, n := range counts {
		sum += n
	}
	return sum
}
