package model

import (
	"math/rand/v2"
	"time"

	"coinbench/capacity/des"
)

// Draw draws settings from a seed, all different: 1 to 20 drivers, 1 to 5 of the first station, 1 or 2 of the last, seven think times,
// three ways to balance.
func Draw(n int, seed uint64) []Setting {
	r := rand.New(rand.NewPCG(seed, 0x5e77))
	thinks := []time.Duration{10, 20, 50, 100, 150, 200, 300}
	balances := []des.Balance{des.RoundRobin, des.Random, des.LeastConnections}
	var all []Setting
	seen := map[string]bool{}
	for tries := 0; len(all) < n && tries < 100*n; tries++ {
		s := Setting{Drivers: 1 + r.IntN(20), First: 1 + r.IntN(5), Last: 1 + r.IntN(2),
			Think: thinks[r.IntN(len(thinks))] * time.Millisecond, Balance: string(balances[r.IntN(len(balances))])}
		if !seen[s.String()] {
			seen[s.String()] = true
			all = append(all, s)
		}
	}
	return all
}
