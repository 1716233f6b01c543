package main

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"coinbench/cluster"
	"coinbench/cluster/swarm"
	"coinbench/cluster/swarm/engine"
	"coinbench/cluster/swarm/enginetest"
)

// What an app on a Swarm is told in secret is in none of the texts about it, though its tasks print it.
func TestSecretsOfAnAppOnASwarm(t *testing.T) {
	secrets := []string{"t0pCompose", "t0pToken", "t0pDatabase", "t0pBlock", "t0pCookie"}
	e, client := enginetest.New(t)
	e.Prints = "the password is t0pCompose\nAuthorization: Bearer t0pToken\nconnecting to postgres://me:t0pDatabase@db/x\nt0pBlock\n" +
		"Cookie: t0pCookie"
	app, err := cluster.LoadApp(t.Context(), "app.yml", []byte(withSecrets), map[string]string{"OUTER_TOKEN": "t0pToken"})
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range app.Services {
		if s.Name == "redis" {
			app.Services[i].Environment["SESSION_COOKIE"] = "t0pCookie"
		}
	}
	c, err := swarm.New(engine.New(client, engine.Options{Keep: true}), swarm.Config{Endpoint: swarm.DNSRR, Start: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Deploy(t.Context(), app), c.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(e.Handler())
	defer server.Close()
	t.Setenv("DOCKER_HOST", "tcp://"+server.Listener.Addr().String())
	t.Setenv("DOCKER_API_VERSION", "1.41")
	for _, args := range [][]string{{"ps"}, {"logs", "rng"}, {"logs", "hasher"}, {"scale", "rng=2"}} {
		code, text := command(t, "", append(args, "--cluster", "swarm")...)
		if code != exitPass {
			t.Errorf("%v: exit code %d: %s", args, code, text)
		}
		if args[0] == "logs" && strings.Count(text, "xxxxx") < len(secrets) {
			t.Errorf("%v: not every secret was printed and masked: %s", args, text)
		}
		for _, s := range secrets {
			if strings.Contains(text, s) {
				t.Errorf("%v: %s is in %s", args, s, text)
			}
		}
	}
}
