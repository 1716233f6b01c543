package cluster

import (
	"errors"
	"strings"
	"testing"
)

// What the Compose loader finds is told with its line and column and in one line, though the loader names neither.
func TestFaultsOfTheLoaderHaveAPosition(t *testing.T) {
	for text, want := range map[string]string{
		`ports: ["99999:80"]`:                           `app.yml:4:13: services.rng.ports.0: invalid hostPort: 99999; accepted: such as "8000:80", ports from 1 to 65535`,
		`ports: ["abc:80"]`:                             `app.yml:4:13: services.rng.ports.0: invalid hostPort: abc; accepted: such as "8000:80", ports from 1 to 65535`,
		`ports: ["1.2.3:80:80"]`:                        `app.yml:4:13: services.rng.ports.0: invalid IP address: 1.2.3; accepted: such as "8000:80", ports from 1 to 65535`,
		`ports: [{target: 99999, published: 80}]`:       `app.yml:4:14: services.rng.ports.0.target: port 99999; accepted: 1 to 65535`,
		`expose: [abc]`:                                 `app.yml:4:5: services.rng.expose: port "abc"; accepted: such as 80, from 1 to 65535`,
		`stop_grace_period: soon`:                       `app.yml:4:5: services.rng.stop_grace_period: "soon" is not a duration; accepted: such as 10s or 1m30s`,
		`healthcheck: {interval: 5x, test: [CMD, a]}`:   `app.yml:4:19: services.rng.healthcheck.interval: "5x" is not a duration; accepted: such as 10s or 1m30s`,
		`deploy: {update_config: {delay: later}}`:       `app.yml:4:30: services.rng.deploy.update_config.delay: "later" is not a duration; accepted: such as 10s or 1m30s`,
		`deploy: {resources: {limits: {memory: much}}}`: `app.yml:4:35: services.rng.deploy.resources.limits.memory: invalid size: 'much'`,
		`healthcheck: {retries: many}`:                  `app.yml:4:19: services.rng.healthcheck.retries: "many" is not a number`,
	} {
		source := "services:\n  rng:\n    image: coinbench/rng:v0.1\n    " + text + "\n"
		_, err := LoadApp(t.Context(), "app.yml", []byte(source), nil)
		var fault *ComposeError
		if got := ""; !errors.As(err, &fault) || strings.ReplaceAll(err.Error(), "\n", "|") != want {
			if err != nil {
				got = err.Error()
			}
			t.Errorf("%s:\n got %q\nwant %q", text, got, want)
		}
	}
}
