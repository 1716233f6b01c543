package cluster

import (
	"os"
	"testing"
)

func load(t *testing.T, source string, env map[string]string) (App, error) {
	t.Helper()
	return LoadApp(t.Context(), "docker-compose.yml", []byte(source), env)
}

func TestShippedFile(t *testing.T) {
	source, err := os.ReadFile("../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	app, err := load(t, string(source), map[string]string{"TAG": "v9", "REGISTRY": "127.0.0.1:5000/"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range app.Services {
		t.Logf("%+v %+v", s, s.Health)
	}
}
