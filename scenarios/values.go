package scenarios

import (
	"fmt"
	"strconv"
	"strings"
)

// Map is a mapping with its order kept, so that a scenario always plays the same way.
type Map[T any] []Entry[T]

// Entry is one key of a Map and its value.
type Entry[T any] struct {
	Key   string
	Value T
}

// Names returns the keys in the order in which they were written.
func (m Map[T]) Names() []string {
	names := make([]string, len(m))
	for i, e := range m {
		names[i] = e.Key
	}
	return names
}

// Counts is a list of whole numbers: 5, 1..10, "1, 2, 5" or [1, 2, 5].
type Counts []int

const (
	acceptedCounts = "a number, a range such as 1..10 or a list such as [1, 2, 5]"
	mostCounts     = 1000 // numbers in one list
)

func (c *Counts) parse(text string) error {
	var all Counts
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "..")
		first, err := strconv.Atoi(strings.TrimSpace(from))
		last := first
		if err == nil && isRange {
			last, err = strconv.Atoi(strings.TrimSpace(to))
		}
		if err != nil || first < 0 || last < 0 {
			return fmt.Errorf("%q is not a list of numbers; accepted: %s", text, acceptedCounts)
		}
		if last < first {
			return fmt.Errorf("the range %q counts down; accepted: %d..%d", part, last, first)
		}
		if last-first >= mostCounts || len(all)+last-first >= mostCounts {
			return fmt.Errorf("%q is too many numbers; accepted: at most %d", text, mostCounts)
		}
		for n := first; n <= last; n++ {
			all = append(all, n)
		}
	}
	*c = all
	return nil
}

// String writes the list as it may be written in a scenario.
func (c Counts) String() string {
	consecutive := len(c) > 2
	words := make([]string, len(c))
	for i, n := range c {
		words[i] = strconv.Itoa(n)
		consecutive = consecutive && n == c[0]+i
	}
	if consecutive {
		return fmt.Sprintf("%d..%d", c[0], c[len(c)-1])
	}
	return strings.Join(words, ", ")
}
