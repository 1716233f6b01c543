package engineapi

import (
	"flag"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

var since = flag.Bool("since", false, "print which version of the API brought what testdata/used.txt lists")

// Supported is the oldest version of the API that coinbench works with.
const supported = "1.41"

func folder(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/moby/moby/api").Output()
	if err != nil {
		t.Fatalf("find the API's descriptions: %v", err)
	}
	return strings.TrimSpace(string(out)) + "/docs"
}

func load(t *testing.T, version string) *Spec {
	t.Helper()
	s, err := Load(folder(t), version)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What is known to be used, recorded from real runs, is in the oldest version of the API that is supported.
func TestWhatIsUsedIsInTheOldestSupportedVersion(t *testing.T) {
	s := load(t, supported)
	used, err := Used()
	if err != nil {
		t.Fatal(err)
	}
	if len(used) < 50 {
		t.Errorf("only %d uses are listed", len(used))
	}
	for _, u := range used {
		if _, known := Undocumented[u.String()]; !known && !s.Knows(u) {
			t.Errorf("API %s does not have: %s", supported, u)
		}
	}
	for line := range Undocumented {
		u, err := Parse(line)
		if err != nil || !slices.Contains(used, u) {
			t.Errorf("%q is excused but not used (%v)", line, err)
		}
		if s.Knows(u) {
			t.Errorf("%q is excused but documented", line)
		}
	}
}

// Newer fields, filters, parameters and endpoints are found out.
func TestWhatIsNewerIsFoundOut(t *testing.T) {
	s := load(t, supported)
	q := func(text string) url.Values { v, _ := url.ParseQuery(text); return v }
	for _, c := range []struct {
		method, path, query, body string
		unknown                   []string
	}{
		{"POST", "/v1.41/services/create", "",
			`{"Name":"a","Labels":{"x":"y"},"Mode":{"GlobalJob":{}},"TaskTemplate":{"ContainerSpec":{"Image":"i","Mounts":[{"Type":"volume","VolumeOptions":{"NoCopy":true}}]}}}`, nil},
		{"POST", "/v1.41/services/create", "", `{"TaskTemplate":{"ContainerSpec":{"OomScoreAdj":5}}}`,
			[]string{"POST /services/create body TaskTemplate.ContainerSpec.OomScoreAdj"}},
		{"POST", "/v1.41/services/create", "", `{"TaskTemplate":{"ContainerSpec":{"OomScoreAdj":0}}}`, nil},
		{"POST", "/v1.41/services/create", "", `{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"VolumeOptions":{"Subpath":"x"}}]}}}`,
			[]string{"POST /services/create body TaskTemplate.ContainerSpec.Mounts.VolumeOptions.Subpath"}},
		{"POST", "/v1.41/containers/create", "platform=linux", `{"Image":"i","HostConfig":{"Annotations":{"a":"b"}}}`,
			[]string{"POST /containers/create body HostConfig.Annotations", "POST /containers/create body HostConfig.Annotations.a"}},
		{"GET", "/v1.41/images/127.0.0.1:5000/coinbench/rng:v0.1/json", "manifests=1", "", []string{"GET /images/{name}/json query manifests"}},
		{"GET", "/v1.41/services", `filters={"label":{"a":true},"color":{"b":true}}`, "", []string{"GET /services filter color"}},
		{"GET", "/v1.41/moon", "", "", []string{"GET /moon"}},
	} {
		var unknown []string
		for _, u := range s.Uses(c.method, c.path, q(c.query), []byte(c.body)) {
			if !s.Knows(u) {
				unknown = append(unknown, u.String())
			}
		}
		if !slices.Equal(unknown, c.unknown) {
			t.Errorf("%s %s %s %s: %q, want %q", c.method, c.path, c.query, c.body, unknown, c.unknown)
		}
	}
}

// Jobs are what the oldest supported version brought.
func TestJobsCameWithTheOldestSupportedVersion(t *testing.T) {
	job := Use{"POST /services/create", "body", "Mode.ReplicatedJob.MaxConcurrent"}
	if load(t, "1.40").Knows(job) || !load(t, supported).Knows(job) {
		t.Error("jobs did not come with API " + supported)
	}
}

func TestSince(t *testing.T) {
	if !*since {
		t.Skip("not run: prints a table with -since")
	}
	used, err := Used()
	if err != nil {
		t.Fatal(err)
	}
	var versions []*Spec
	for _, v := range strings.Fields("1.25 1.26 1.27 1.28 1.29 1.30 1.31 1.32 1.33 1.34 1.35 1.36 1.37 1.38 1.39 1.40 1.41") {
		versions = append(versions, load(t, v))
	}
	for _, u := range used {
		i := slices.IndexFunc(versions, func(s *Spec) bool { return s.Knows(u) })
		at := "undocumented: " + Undocumented[u.String()]
		if i >= 0 {
			at = versions[i].Version
		}
		os.Stdout.WriteString(at + "\t" + u.String() + "\n")
	}
}
