package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// command runs the program as a user would, and returns its exit code and all that it printed.
func command(t *testing.T, stdin string, args ...string) (code int, text string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(process{args: args, env: os.LookupEnv, environ: os.Environ(), stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs})
	return code, out.String() + errs.String()
}

// The real vegeta reads what attack writes in each format, and coinbench what vegeta writes.
func TestTheRealVegeta(t *testing.T) {
	if testing.Short() {
		t.Skip("not run: a comparison with vegeta, which is built for it")
	}
	dir := t.TempDir()
	vegeta := filepath.Join(dir, "vegeta")
	if out, err := exec.Command("go", "build", "-o", vegeta, "github.com/tsenart/vegeta/v12").CombinedOutput(); err != nil {
		t.Fatalf("build vegeta: %v\n%s", err, out)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }))
	defer server.Close()
	ask := func(stdin string, args ...string) string {
		t.Helper()
		c := exec.Command(vegeta, args...)
		c.Stdin = strings.NewReader(stdin)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("vegeta %s: %v\n%s", args, err, out)
		}
		return string(out)
	}
	for _, format := range []string{"json", "csv", "gob"} {
		file := filepath.Join(dir, "ours."+format)
		// VALID or not: the machine may be busy
		if code, text := command(t, "", "attack", "--rate", "200/s", "--requests", "50", "--output", file, "--format", format,
			server.URL); !strings.Contains(text, "due 50 = ok 50") {
			t.Fatalf("exit code %d\n%s", code, text)
		}
		for _, kind := range []string{"text", "json", "hist[0,1ms,1s]", "hdrplot"} {
			text := ask("", "report", "-type="+kind, file)
			want := map[string]string{"text": "[total, rate, throughput]  50,", "json": `"requests":50`, "hist[0,1ms,1s]": "Bucket",
				"hdrplot": "Percentile"}[kind]
			if !strings.Contains(strings.Join(strings.Fields(text), " "), strings.Join(strings.Fields(want), " ")) {
				t.Errorf("%s: report -type=%s has no %q:\n%s", format, kind, want, text)
			}
		}
		for _, to := range []string{"json", "csv", "gob"} {
			encoded := filepath.Join(dir, format+"."+to)
			ask("", "encode", "-to="+to, "-output="+encoded, file)
			if text := ask("", "report", "-type=json", encoded); !strings.Contains(text, `"requests":50`) {
				t.Errorf("%s encoded as %s: %s", format, to, text)
			}
		}
		if text := ask("", "plot", file); !strings.Contains(text, "<html") {
			t.Errorf("%s: plot: %.200s", format, text)
		}
	}
	bin := filepath.Join(dir, "theirs.bin")
	ask("GET "+server.URL+"\n", "attack", "-rate=200/s", "-duration=250ms", "-output="+bin)
	for _, to := range []string{"gob", "json", "csv"} {
		file := filepath.Join(dir, "theirs."+to)
		ask("", "encode", "-to="+to, "-output="+file, bin)
		_, text := command(t, "", "report", file)
		for _, want := range []string{"50", "response time and lag are not known"} {
			if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
				t.Errorf("report %s has no %q:\n%s", file, want, text)
			}
		}
		if _, err := os.Stat(filepath.Join(file+".report", "report.html")); err != nil {
			t.Error(err)
		}
	}
	if code, text := command(t, "", "report", vegeta); code != exitUsage || !strings.Contains(text, "no results of vegeta") {
		t.Errorf("a file of something else: exit code %d, %s", code, text)
	}
}

// vegeta's attacker plays a load within the same record, and through the guard.
func TestTheVegetaEngine(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		}
		io.WriteString(w, "hello")
	}))
	defer server.Close()
	dir := filepath.Join(t.TempDir(), "run")
	code, text := command(t, "", "attack", "--engine", "vegeta", "--rate", "200/s", "--duration", "1s", "--out", dir, server.URL)
	if !strings.Contains(text, "due 200 = ok 200") && !strings.Contains(text, "due 201 = ok 201") ||
		!strings.Contains(text, "response time and lag are not") {
		t.Errorf("exit code %d\n%s", code, text)
	}
	if _, text = command(t, "", "report", dir); !strings.Contains(text, "200 requests") && !strings.Contains(text, "vegeta") {
		t.Errorf("report:\n%s", text)
	}
	code, text = command(t, "", "attack", "--engine", "vegeta", "--rate", "ramp(10/s, 50/s, 1s)", "--requests", "20", server.URL)
	if !strings.Contains(text, "due 20 = ok 20") {
		t.Errorf("exit code %d\n%s", code, text)
	}
	code, text = command(t, "", "attack", "--engine", "vegeta", "--redirects", "3", "--rate", "200/s", "--requests", "2", server.URL+"/away")
	if code != exitUsage || !strings.Contains(text, "refuse to send load to 192.0.2.1") {
		t.Errorf("a redirect to another host: exit code %d\n%s", code, text)
	}
	if code, text = command(t, "", "attack", "--engine", "ab", "--rate", "1/s", "--requests", "1", server.URL); code != exitUsage ||
		!strings.Contains(text, `engine "ab"; accepted: vegeta`) {
		t.Errorf("exit code %d\n%s", code, text)
	}
}
