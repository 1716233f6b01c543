package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"coinbench/capacity"
	"coinbench/live/frame"
)

// page is the process that shows a session's run, once it has said so, and its address.
func (s *session) page(t *testing.T) (pid int, url string) {
	t.Helper()
	until(t, "the page has an address", func() bool {
		select {
		case <-s.ended:
			t.Fatalf("it ended before:\n%s", &s.stderr)
		default:
		}
		url = regexp.MustCompile(`http://127\S+`).FindString(s.stderr.String())
		return url != ""
	})
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		children, _ := os.ReadFile(list) // a thread may have ended
		for _, text := range strings.Fields(string(children)) {
			if line, err := os.ReadFile("/proc/" + text + "/cmdline"); err == nil && strings.Contains(string(line), "\x00page\x00") {
				if pid, err = strconv.Atoi(text); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if pid == 0 {
		t.Fatal("no process shows the run")
	}
	return pid, url
}

// The page of a run is made by another process, which gives way to all others, and its last frame says what the report does.
func TestRunShowsItsPage(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "run")
	s := begin(t, dir, exec.Command("coinbench", "run", "smoke", "--live", "--out", dir))
	pid, url := s.page(t)
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("process %d has no threads: %v", pid, err)
	}
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); err == nil && fields[38] != "5" { // policy, the 41st of proc_pid_stat(5): SCHED_IDLE
			t.Errorf("%s: policy %s", path, fields[38])
		}
	}
	answer, err := http.Get(url + "stream")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var judged frame.Judged
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			f := struct{ Judged *frame.Judged }{&judged}
			if err := json.Unmarshal([]byte(data), &f); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if code := s.exit(t); code > exitUnmeasured || code == exitUsage {
		t.Fatalf("exit code %d:\n%s", code, &s.stderr)
	}
	data, err := os.ReadFile(filepath.Join(s.dir, "result.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want capacity.Analysis
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	if !judged.Final || judged.Outcome != string(want.Overall.Outcome) || judged.Headline != want.Overall.Headline {
		t.Errorf("the last frame says %v %s %q, the report %s %q", judged.Final, judged.Outcome, judged.Headline, want.Overall.Outcome,
			want.Overall.Headline)
	}
	until(t, "the page's process is gone", func() bool { return gone([]int{pid}) })
}

// A page leaves with its run, however that ends, and an address that is taken is said before anything starts.
func TestPageLeavesWithItsRun(t *testing.T) {
	t.Parallel()
	s := start(t, filepath.Join(t.TempDir(), "run"), "--publish", "webui=0", "--live")
	s.mining(t)
	pid, _ := s.page(t)
	if err := s.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	until(t, "the page's process is gone", func() bool { return gone([]int{pid}) })

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := filepath.Join(t.TempDir(), "taken")
	s = start(t, dir, "--live="+l.Addr().String())
	if code := s.exit(t); code != exitUsage || strings.Count(s.stderr.String(), "choose another address") != 1 {
		t.Errorf("exit code %d: %s", code, &s.stderr)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("it has made the run's folder")
	}
}
