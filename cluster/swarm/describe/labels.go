package describe

import (
	"encoding/json"

	"coinbench/cluster"
)

// Encode and Decode turn a service into the value of a label, and back.
func Encode(s cluster.Service) string {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // plain data
	}
	return string(data)
}

func Decode(label string) (cluster.Service, error) {
	var s cluster.Service
	err := json.Unmarshal([]byte(label), &s)
	return s, err
}
