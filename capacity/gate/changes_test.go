package gate

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Series of Apache Otava's own tests, and where they change.
func TestChangesOfReferenceSeries(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   []int
	}{
		{[]float64{.3, 2.4, 1.5, -.9, -.5, 99.7, 98.3, 99.1, 149.0, 149.7, 149.5, 149.1, 148.8, 150.0}, []int{5, 8}},
		{[]float64{1.02, .95, .99, 1, 1.12, 1, 1.01, .98, 1.01, .96, .5, .51, .48, .48, .55, .5, .49, .51, .5, .49}, []int{10}},
		{[]float64{1.02, .95, .99, 1, 1.12, .9, .5, .51, .48, .48, .55}, []int{6}},
		{[]float64{2.02, 2.03, 2.01, 2.04, 1.82, 1.85, 1.79, 1.81, 1.8, 1.76, 1.78}, []int{4}},
	} {
		var got []int
		for _, change := range Changes(c.values, nil, 1) {
			got = append(got, change.Index)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: changes at %v, want %v (E-divisive %v, partition %v)", c.values, got, c.want, EDivisive(c.values, permutations,
				changeAlpha, 1), Partition(c.values, nil))
		}
	}
}

// The flow of the Nile fell in 1898 or 1899: the 28th year of 1871 to 1970 is the last before it (Cobb, "The problem of the Nile",
// Biometrika 65, 1978).
func TestChangeOfTheNile(t *testing.T) {
	nile := []float64{1120, 1160, 963, 1210, 1160, 1160, 813, 1230, 1370, 1140, 995, 935, 1110, 994, 1020, 960, 1180, 799, 958, 1140, 1100,
		1210,
		1150, 1250, 1260, 1220, 1030, 1100, 774, 840, 874, 694, 940, 833, 701, 916, 692, 1020, 1050, 969, 831, 726, 456, 824, 702, 1120, 1100,
		832,
		764, 821, 768, 845, 864, 862, 698, 845, 744, 796, 1040, 759, 781, 865, 845, 944, 984, 897, 822, 1010, 771, 676, 649, 846, 812, 742, 801,
		1040, 860, 874, 848, 890, 744, 749, 838, 1050, 918, 986, 797, 923, 975, 815, 1020, 906, 901, 1170, 912, 746, 919, 718, 714, 740}
	got := Changes(nile, nil, 1)
	if len(got) != 1 || got[0].Index < 25 || got[0].Index > 32 {
		t.Errorf("changes %+v, want one at 28", got)
	}
}

func TestNoChangeInNoiseAndNoneOfASpike(t *testing.T) {
	const n = 12
	found, spikes, steps := 0, 0, 0
	for seed := range uint64(n) {
		r := rand.New(rand.NewPCG(seed, 3))
		values := make([]float64, 60)
		for i := range values {
			values[i] = 30 * (1 + .004*r.NormFloat64())
		}
		if len(Changes(values, nil, seed)) > 0 {
			found++
		}
		spike := slices.Clone(values)
		spike[30] *= 1.04 // ten standard deviations
		if len(Changes(spike, nil, seed)) > 0 || !slices.Contains(Spikes(spike), 30) {
			spikes++
		}
		for i := 56; i < 60; i++ { // a step of 1 %, four points ago
			values[i] *= .99
		}
		if got := Changes(values, nil, seed); len(got) == 1 && got[0].Index >= 55 && got[0].Index <= 57 {
			steps++
		}
	}
	if found > 1 || spikes > 1 || steps < n/2 {
		t.Errorf("of %d series %d change without a reason, %d by a spike, and %d show their step", n, found, spikes, steps)
	}
}
