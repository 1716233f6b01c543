package swarm

import (
	"encoding/json"

	"coinbench/cluster"
)

func encoded(s cluster.Service) string {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // plain data
	}
	return string(data)
}

func decoded(label string) (cluster.Service, error) {
	var s cluster.Service
	err := json.Unmarshal([]byte(label), &s)
	return s, err
}

// wanted is what the service shall be.
func (s *service) wanted() cluster.Service { return s.spec }
