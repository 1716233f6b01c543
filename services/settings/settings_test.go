package settings

import (
	"errors"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the table into docs/services.md")

func TestParseDefaults(t *testing.T) {
	rng, err := Parse(RNG, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Settings{
		Service: RNG, Listen: ":80", AdminListen: ":8081",
		Delay: 100 * time.Millisecond, Distribution: Constant,
		Concurrency: 1, Accept: Serial, QueueLimit: 128, HeaderTimeout: 10 * time.Second, MaxBytes: 32 << 20,
		BootMode: Refuse, OnSIGTERM: Drain, ErrorStatus: 500, Version: "v0.1",
	}
	if !reflect.DeepEqual(rng, want) {
		t.Errorf("rng's defaults:\n got %+v\nwant %+v", rng, want)
	}

	hasher, err := Parse(Hasher, nil)
	if err != nil {
		t.Fatal(err)
	}
	if hasher.Concurrency != 20 || hasher.Accept != Pool || hasher.QueueLimit != 1024 || hasher.MaxBytes != 1<<20 ||
		hasher.Delay != 100*time.Millisecond {
		t.Errorf("hasher's defaults: %+v", hasher)
	}

	worker, err := Parse(Worker, nil)
	if err != nil {
		t.Fatal(err)
	}
	want = Settings{
		Service: Worker, AdminListen: ":8081", Think: 100 * time.Millisecond, Backoff: 10 * time.Second,
		RNGURL: "http://rng", HasherURL: "http://hasher", Redis: "redis:6379", OnSIGTERM: Drain, Version: "v0.1",
	}
	if !reflect.DeepEqual(worker, want) {
		t.Errorf("worker's defaults:\n got %+v\nwant %+v", worker, want)
	}

	webui, err := Parse(WebUI, nil)
	if err != nil {
		t.Fatal(err)
	}
	if webui.Concurrency != 0 || webui.Accept != Pool || webui.Delay != 0 || webui.Redis != "redis:6379" {
		t.Errorf("webui's defaults: %+v", webui)
	}
}

func TestParseValues(t *testing.T) {
	s, err := Parse(Hasher, map[string]string{
		"PATH":                    "/bin", // not ours
		"COIN_DELAY":              "50ms",
		"COIN_DELAY_DISTRIBUTION": "normal",
		"COIN_DELAY_JITTER":       "3ms",
		"COIN_MAX_BYTES":          "64KiB",
		"COIN_ERROR_RATE":         "0.25",
		"COIN_HOSTS":              "rng:80=127.0.0.1:4001,redis:6379=[::1]:4002",
		"COIN_SEED":               "18446744073709551615",
		"COIN_SUPERVISED":         "true",
		"COIN_REPLICA":            "hasher.1#2",
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.Delay != 50*time.Millisecond || s.Distribution != Normal || s.Jitter != 3*time.Millisecond || s.MaxBytes != 65536 ||
		s.ErrorRate != 0.25 || s.Seed != 1<<64-1 || !s.Supervised || s.Replica != "hasher.1#2" ||
		!reflect.DeepEqual(s.Hosts, map[string]string{"rng:80": "127.0.0.1:4001", "redis:6379": "[::1]:4002"}) {
		t.Errorf("got %+v", s)
	}
}

func TestParseFaults(t *testing.T) {
	for _, test := range []struct {
		service, name, value string
		want                 string
	}{
		{RNG, "COIN_DELAY", "fast", `COIN_DELAY="fast": not a duration; accepted: a duration such as 100ms, at least 0s`},
		{RNG, "COIN_DELAY", "-1s", `COIN_DELAY="-1s": a negative duration; accepted: a duration such as 100ms, at least 0s`},
		{RNG, "COIN_DELAY", "", `COIN_DELAY="": not a duration; accepted: a duration such as 100ms, at least 0s`},
		{RNG, "COIN_DELAY_DISTRIBUTION", "gauss",
			`COIN_DELAY_DISTRIBUTION="gauss": not one of the accepted values; accepted: constant, uniform, exponential or normal`},
		{RNG, "COIN_DELAY_JITTER", "1ms",
			`COIN_DELAY_JITTER="1ms": a delay that is constant has no jitter; set COIN_DELAY_DISTRIBUTION=uniform or normal as well`},
		{RNG, "COIN_CONCURRENCY", "20", `COIN_CONCURRENCY="20": a serial server serves one request at a time; set COIN_ACCEPT=pool as well`},
		{Hasher, "COIN_ACCEPT", "serial", `COIN_CONCURRENCY="20": a serial server serves one request at a time; set COIN_ACCEPT=pool as well`},
		{RNG, "COIN_QUEUE_LIMIT", "0", `COIN_QUEUE_LIMIT="0": out of range; accepted: a whole number from 1 to 65535`},
		{RNG, "COIN_MAX_BYTES", "2GiB", `COIN_MAX_BYTES="2GiB": out of range; accepted: a size such as 65536, 64KiB or 1MiB, from 1 to 1GiB`},
		{RNG, "COIN_ERROR_RATE", "NaN", `COIN_ERROR_RATE="NaN": not a number; accepted: a number from 0 to 1`},
		{RNG, "COIN_ERROR_RATE", "1.5", `COIN_ERROR_RATE="1.5": out of range; accepted: a number from 0 to 1`},
		{RNG, "COIN_ERROR_STATUS", "200", `COIN_ERROR_STATUS="200": out of range; accepted: a status from 400 to 599`},
		{RNG, "COIN_LISTEN", "80", `COIN_LISTEN="80": not an address; accepted: host:port or :port, with port 0 for any free one`},
		{RNG, "COIN_LISTEN", ":http", `COIN_LISTEN=":http": port "http" is not a number from 0 to 65535; accepted: host:port or :port, with port 0 for any free one`},
		{RNG, "COIN_REPLICA", "a b", `COIN_REPLICA="a b": holds a space or a character that is not printable ASCII; accepted: up to 128 printable characters without spaces`},
		{RNG, "COIN_BOOT_MODE", "slow", `COIN_BOOT_MODE="slow": not one of the accepted values; accepted: refuse, 503 or hang`},
		{Worker, "COIN_KEEP_ALIVE", "yes", `COIN_KEEP_ALIVE="yes": neither true nor false; accepted: true or false`},
		{Worker, "COIN_RNG_URL", "rng:80",
			`COIN_RNG_URL="rng:80": not a URL that begins with http:// and a host; accepted: a URL such as http://rng or http://127.0.0.1:8001`},
		{Worker, "COIN_RNG_URL", "http://rng/32",
			`COIN_RNG_URL="http://rng/32": a URL with more than a host and a port; accepted: a URL such as http://rng or http://127.0.0.1:8001`},
		{Worker, "COIN_REDIS", ":6379", `COIN_REDIS=":6379": an address without a host; accepted: host:port`},
		{Worker, "COIN_HOSTS", "rng=127.0.0.1:1",
			`COIN_HOSTS="rng=127.0.0.1:1": "rng" is not HOST:PORT; accepted: a list such as rng:80=127.0.0.1:4001,redis:6379=127.0.0.1:4002`},
		{Worker, "COIN_HOSTS", "a:1=b:1,a:1=b:2",
			`COIN_HOSTS="a:1=b:1,a:1=b:2": "a:1" is there twice; accepted: a list such as rng:80=127.0.0.1:4001,redis:6379=127.0.0.1:4002`},
		{Worker, "COIN_DELAY", "1s", `COIN_DELAY="1s": worker has no such setting; it belongs to rng, hasher, webui`},
		{Worker, "COIN_THIMK", "1s", `COIN_THIMK="1s": unknown setting; did you mean COIN_THINK?`},
		{RNG, "COIN_THIMK", "1s", `COIN_THIMK="1s": unknown setting; did you mean COIN_THINK, which belongs to worker?`},
		{RNG, "COIN_DELAI", "1s", `COIN_DELAI="1s": unknown setting; did you mean COIN_DELAY?`},
		{"redis", "COIN_THINK", "1s", `unknown service "redis"; accepted: rng, hasher, worker, webui, gateway`},
	} {
		err := Check(test.service, map[string]string{test.name: test.value})
		if err == nil || err.Error() != test.want {
			t.Errorf("%s %s=%q:\n got %v\nwant %s", test.service, test.name, test.value, err, test.want)
		}
	}
}

func TestParseReportsAllFaults(t *testing.T) {
	err := Check(RNG, map[string]string{"COIN_ERROR_RATE": "2", "COIN_DELAY": "soon", "COIN_DELLAY": "1s"})
	var names []string
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			var f *Fault
			if !errors.As(e, &f) {
				t.Fatalf("%v is not a fault", e)
			}
			names = append(names, f.Variable)
		}
	}
	if got := strings.Join(names, " "); got != "COIN_DELAY COIN_ERROR_RATE COIN_DELLAY" {
		t.Errorf("faults of %q, want those of the table in its order, then the unknown", got)
	}
}

// Every default must be a value that the variable accepts, and be documented.
func TestTableIsComplete(t *testing.T) {
	for _, service := range Services() {
		all := map[string]string{}
		for _, v := range Variables(service) {
			all[v.Name] = v.DefaultFor(service)
			if v.Doc == "" || v.Accepted == "" || v.Kind == "" || v.parse == nil || !strings.HasPrefix(v.Name, Prefix) {
				t.Errorf("%s is not described", v.Name)
			}
		}
		explicit, err := Parse(service, all)
		if err != nil {
			t.Errorf("defaults of %s: %v", service, err)
		}
		implicit, _ := Parse(service, nil)
		if !reflect.DeepEqual(explicit, implicit) {
			t.Errorf("%s: defaults written out differ from defaults", service)
		}
	}
	if len(Variables("redis")) != 0 {
		t.Error("redis has variables")
	}
}

func TestTagDefaults(t *testing.T) {
	s, err := Parse(Worker, TagDefaults(Worker, "v0.01"))
	if err != nil || s.Think != 10*time.Millisecond || s.Version != "v0.01" {
		t.Errorf("worker:v0.01: %+v, %v", s, err)
	}
	s, err = Parse(RNG, TagDefaults(RNG, "v0.01"))
	if err != nil || s.Delay != 100*time.Millisecond || s.Version != "v0.01" {
		t.Errorf("rng:v0.01: %+v, %v", s, err)
	}
	if TagDefaults(Worker, "") != nil {
		t.Error("no tag carries something")
	}
}

// Parse never panics, and what it accepts it accepts again.
func TestParseAnything(t *testing.T) {
	var names []string
	for _, v := range Variables("") {
		names = append(names, v.Name)
	}
	rapid.Check(t, func(t *rapid.T) {
		service := rapid.SampledFrom(Services()).Draw(t, "service")
		env := rapid.MapOf(rapid.SampledFrom(names), rapid.String()).Draw(t, "env")
		s, err := Parse(service, env)
		if (err == nil) != (s.Service == service) {
			t.Fatalf("settings %+v beside error %v", s, err)
		}
	})
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"COIN_THINK", "COIN_THIMK", 1}} {
		if got := Distance(test.a, test.b); got != test.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

// The table in the documentation is the table in the code.
func TestDocumentation(t *testing.T) {
	const name, begin, end = "../../docs/services.md", "<!-- settings: begin -->\n", "<!-- settings: end -->"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s: no table between %q and %q", name, begin, end)
	}
	want := before + begin + markdown() + end + after
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Errorf("%s is not in step with the table; run go test ./services/settings -update", name)
	}
}

// markdown is the table of all variables as docs/services.md shows it.
func markdown() string {
	var b strings.Builder
	b.WriteString("| variable | services | default | accepted | meaning |\n|---|---|---|---|---|\n")
	for _, v := range table() {
		cells := []string{"`" + v.Name + "`", strings.Join(v.Services, ", "), v.markdownDefault(), v.Accepted, v.Doc}
		for i, c := range cells {
			cells[i] = strings.ReplaceAll(c, "|", `\|`)
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	return b.String()
}

// markdownDefault is one value, or a value for each service where they differ.
func (v Variable) markdownDefault() string {
	code := func(s string) string {
		if s == "" {
			return "empty"
		}
		return "`" + s + "`"
	}
	if len(v.Defaults) == 0 {
		return code(v.Default)
	}
	var parts []string
	for _, s := range v.Services {
		parts = append(parts, s+" "+code(v.DefaultFor(s)))
	}
	return strings.Join(parts, ", ")
}
