// Package coinbench holds the app's Compose file, so that the binary ships what the repository shows.
package coinbench

import _ "embed"

//go:embed docker-compose.yml
var compose string

// Compose is docker-compose.yml: DockerCoins as it is deployed on every cluster.
func Compose() []byte { return []byte(compose) }
