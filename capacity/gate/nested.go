package gate

import "math"

// Nested are the variances of an experiment on several levels, the innermost first (Kalibera and Jones, "Rigorous benchmarking in
// reasonable time", ISMM 2013, section 6, with the divisions of their library libkalibera): windows within deployments, deployments
// within sessions.
type Nested struct {
	S2 []float64 // mean square of each level's means about the mean of the level above: S_i^2
	T2 []float64 // what the level itself adds: T_1^2 = S_1^2, T_i^2 = S_i^2 - S_(i-1)^2/r_(i-1); it may be negative, and is 0 then
}

// Tree is a level of an experiment: either values or lower levels of equal size.
type Tree struct {
	Values []float64
	Parts  []Tree
}

// depth is the number of levels.
func (t Tree) depth() int {
	if len(t.Parts) == 0 {
		return 1
	}
	return 1 + t.Parts[0].depth()
}

// means are those of the parts, or the values themselves.
func (t Tree) means() []float64 {
	if len(t.Parts) == 0 {
		return t.Values
	}
	var all []float64
	for _, p := range t.Parts {
		all = append(all, NewSample(p.means()).Mean)
	}
	return all
}

// at lists the subtrees of a depth.
func (t Tree) at(depth int) []Tree {
	if t.depth() == depth {
		return []Tree{t}
	}
	var all []Tree
	for _, p := range t.Parts {
		all = append(all, p.at(depth)...)
	}
	return all
}

// Variances of an experiment.
func (t Tree) Variances() Nested {
	var n Nested
	size := 0
	for level := 1; level <= t.depth(); level++ {
		square, trees := 0.0, t.at(level)
		for _, s := range trees {
			sd := NewSample(s.means()).SD
			square += sd * sd / float64(len(trees))
		}
		own := square
		if level > 1 {
			own -= n.S2[level-2] / float64(size)
		}
		n.S2, n.T2 = append(n.S2, square), append(n.T2, own)
		size = len(trees[0].means())
	}
	return n
}

// Repetitions is how often each level but the highest is best repeated within the level above, unrounded, where one more repetition of
// level i costs costs[i] (of the highest as well): r_i = sqrt((c_(i+1)/c_i) (T_i^2/T_(i+1)^2)), equation 3. Infinite where the level above
// adds nothing.
func (n Nested) Repetitions(costs []float64) []float64 {
	var r []float64
	for i := range len(costs) - 1 {
		r = append(r, math.Sqrt(costs[i+1]/costs[i]*max(0, n.T2[i])/max(0, n.T2[i+1])))
	}
	return r
}
