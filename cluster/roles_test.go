package cluster

import (
	"reflect"
	"strings"
	"testing"

	"coinbench/capacity/dockercoins"
)

// The labels of the shipped file say what runs without roles are read with.
func TestShippedRoles(t *testing.T) {
	if got, want := shipped(t, nil).Roles, dockercoins.Roles(); !reflect.DeepEqual(got, want) {
		t.Errorf("roles\n%+v\nwant\n%+v", got, want)
	}
}

func TestRolesFollowTheLabels(t *testing.T) {
	app, err := load(t, `services:
  first: {image: coinbench/hasher, labels: {coinbench.role: station, coinbench.visit: 2, coinbench.plural: firsts of all, other: x}}
  second: {image: registry.example/x:1, labels: [coinbench.role=station, coinbench.visit=1]}
  mill: {image: coinbench/worker:v2, labels: {coinbench.role: driver}}
  none: {image: x, labels: {other: x}}
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := app.Roles
	if r.Driver.Service != "mill" || r.Driver.Program != "worker" || r.Driver.Plural != "mills" || r.Store.Service != "" ||
		r.Unit.Many != "units of work" || r.Share.In != 0 || len(r.Stations) != 2 {
		t.Errorf("roles %+v", r)
	} else if a, b := r.Stations[0], r.Last(); a.Service != "second" || a.Program != "second" || b.Service != "first" ||
		b.Program != "hasher" ||
		b.Count(2) != "2 firsts of all" || b.Count(1) != "1 first" {
		t.Errorf("stations %+v", r.Stations)
	}
	if app, err := load(t, "services: {a: {image: x, labels: {other: x}}}", nil); err != nil || !app.Roles.None() {
		t.Errorf("an app without roles has %+v, %v", app.Roles, err)
	}
}

func TestRolesThatMakeNoSense(t *testing.T) {
	// Column 7 of line 5 is the label; d and s are well.
	const d, s = "  d:\n    image: x\n    labels: {coinbench.role: driver}\n", "  s:\n    image: x\n    labels: {coinbench.role: station, " +
		"coinbench.visit: 1}\n"
	for _, row := range []struct{ labels, rest, want string }{
		{"coinbench.role: boss", d + s, `:5:7: services.a.labels.coinbench.role: role "boss"; accepted: driver, station or store`},
		{"coinbench.role: driver", d + s, "services.d.labels.coinbench.role: a second driver, besides a; accepted: one driver"},
		{"coinbench.role: station", d + s, ":5:7: services.a.labels.coinbench.role: a station without coinbench.visit"},
		{"coinbench.role: station\n      coinbench.visit: 0", d + s, `:6:7: services.a.labels.coinbench.visit: visit "0"`},
		{"coinbench.role: station\n      coinbench.visit: next", d + s, `:6:7: services.a.labels.coinbench.visit: visit "next"`},
		{"coinbench.role: station\n      coinbench.visit: 1", d + s, "services.s.labels.coinbench.visit: visit 1, as a has it"},
		{"coinbench.visit: 1", d + s, ":5:7: services.a.labels.coinbench.visit: coinbench.visit of a service that is no station"},
		{"coinbench.unit: hash, hashes", d + s, ":5:7: services.a.labels.coinbench.unit: coinbench.unit of a service that is no driver"},
		{"coinbench.rôle: driver", d + s, ":5:7: services.a.labels.coinbench.rôle: unknown label"},
		{"coinbench.balance: random", d + s, "accepted: the same under deploy.labels"},
		{"coinbench.plural: ''", d + s, `:5:7: services.a.labels.coinbench.plural: plural ""`},
		{"coinbench.plural: " + strings.Repeat("é", 41), d + s, `:5:7: services.a.labels.coinbench.plural: plural "`},
		{"coinbench.role: driver\n      coinbench.unit: hash", s, `:6:7: services.a.labels.coinbench.unit: unit "hash"; accepted: one and many`},
		{"coinbench.role: driver\n      coinbench.share: coin, coins", s, `:6:7: services.a.labels.coinbench.share: share "coin, coins"`},
		{"coinbench.role: driver\n      coinbench.share: coin, coins, 1", s, `:6:7: services.a.labels.coinbench.share: share`},
		{"coinbench.role: driver", "", ":1:1: services: roles without a station"},
		{"coinbench.role: store", s, ":1:1: services: roles without a driver"},
	} {
		_, err := load(t, "services:\n  a:\n    image: x\n    labels:\n      "+row.labels+"\n"+row.rest, nil)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v; want %s", row.labels, err, row.want)
		}
	}
}
