package images

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"coinbench/services/settings"
)

// The Dockerfile makes what Build makes: a target per service with its entrypoint, its user and the defaults of the tags.
func TestDockerfileAgrees(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	stages, parents := map[string]string{}, map[string]string{}
	stage := regexp.MustCompile(`(?ms)^FROM (\S+)(?: AS (\S+))?\n(.*?)(?:^FROM|\z)`)
	for _, m := range stage.FindAllStringSubmatch(strings.ReplaceAll(string(data), "\nFROM", "\nFROM\nFROM"), -1) {
		parents[m[2]], stages[m[2]] = m[1], m[3]
	}
	inherited := func(stage string) string {
		text := ""
		for ; stages[stage] != ""; stage = parents[stage] {
			text += stages[stage]
		}
		return text
	}
	for _, service := range settings.Services() {
		entrypoint := fmt.Sprintf("ENTRYPOINT [%q, %q, %q]", BinaryPath, "service", service)
		if !strings.Contains(stages[service], entrypoint) {
			t.Errorf("the target %s has no %s", service, entrypoint)
		}
		text := inherited(service)
		for port := range maps.Keys(exposed(service)) {
			if !strings.Contains(text, "EXPOSE "+strings.TrimSuffix(port, "/tcp")) {
				t.Errorf("the target %s does not expose %s", service, port)
			}
		}
		if !strings.Contains(text, "USER "+user) || !strings.Contains(text, "ENV COIN_VERSION=$TAG") {
			t.Errorf("the target %s lacks its user or its version:\n%s", service, text)
		}
	}
	for name, value := range settings.TagDefaults(settings.Worker, "v0.01") {
		if !strings.Contains(stages["worker-v0.01"], name+"="+value) {
			t.Errorf("the target worker-v0.01 lacks %s=%s", name, value)
		}
	}
	if parents[""] != "program" {
		t.Errorf("the last stage is made from %q; want the bare program", parents[""])
	}
}
