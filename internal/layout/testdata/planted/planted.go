// Package planted breaks the rules of internal/layout where a line says so, and nowhere else.
package planted

import (
	"maps"
	"regexp"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"planted/other"
)

type thing struct {
	n    int
	list []int
}

func (t *thing) grow()    { t.n++ }
func (t thing) size() int { return t.n }

var (
	count   int
	words   = map[string]int{}
	numbers = []int{3, 1, 2}
	pair    [2]int
	one     thing
	far     = &thing{}
	lock    sync.Mutex       // want "sync.Mutex"
	total   atomic.Int64     // want "sync/atomic.Int64"
	signals = make(chan int) // want "channel"
	guarded struct {         // want "sync.Once"
		once sync.Once
	}

	fixed    = []string{"a", "b"}
	table    = map[string][]int{"a": {1}}
	pattern  = regexp.MustCompile("a")
	sentinel = time.Second
)

func changing() {
	count = 1             // want "count is assigned to"
	count++               // want "count is assigned to"
	count += 2            // want "count is assigned to"
	words["a"] = 1        // want "words is assigned to"
	numbers[0] = 1        // want "numbers is assigned to"
	pair[1] = 1           // want "pair is assigned to"
	one.n = 1             // want "one is assigned to"
	one.list[0] = 1       // want "one is assigned to"
	far.n = 2             // want "far is assigned to"
	*far = thing{}        // want "far is assigned to"
	other.Level = 3       // want "Level is assigned to"
	for count = range 3 { // want "count is assigned to"
	}
	p := &count                               // want "count has its address taken"
	q := &numbers[1]                          // want "numbers has its address taken"
	_ = pair[:]                               // want "pair has its address taken"
	one.grow()                                // want "one has its address taken by grow"
	delete(words, "a")                        // want "words is changed by a call"
	clear(numbers)                            // want "numbers is changed by a call"
	slices.Sort(numbers)                      // want "numbers is changed by a call"
	sort.Ints(numbers)                        // want "numbers is changed by a call"
	maps.Copy(words, map[string]int{})        // want "words is changed by a call"
	func() { numbers = append(numbers, 1) }() // want "numbers is assigned to"
	*p, *q = 1, 2
}

func reading() (int, time.Time) {
	count := 0
	count++ // a local one
	words := maps.Clone(words)
	words["b"] = 1
	sorted := slices.Sorted(slices.Values(numbers))
	sorted[0] = 1
	for _, w := range fixed {
		count += len(w)
	}
	local := one
	local.n = far.n + local.size() + one.size()
	if pattern.MatchString(fixed[0]) && slices.Contains(fixed, "a") {
		count += table["a"][0] + other.Limits()[0]
	}
	x := fixed[:1]
	return count + len(x) + sort.SearchInts(numbers, 2), time.Time{}.Add(sentinel)
}

func effective() {
	go reading()                // want "a goroutine"
	_ = time.Now()              // want "time.Now"
	wait := time.Sleep          // want "time.Sleep"
	_ = time.Since(time.Time{}) // want "time.Since"
	wait(0)
}
