package reports

import (
	"os/exec"
	"strings"
	"testing"
)

// What the report says to repeat is, for a shell, the same command, in a folder of its own.
func TestRepeatable(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("not run: commands as a shell reads them, for want of one")
	}
	for _, command := range [][]string{
		{"coinbench", "run", "smoke"},
		{"coinbench", "bench", "-H", "X: it's \"$HOME\" `x` \\", "-n", "1", "http://127.0.0.1:1/a?b=1&c=*"},
		{"coinbench", "run", "my file.yaml", "--set", "rate=ramp(1/s, 2/s, 3s)", "", "~", "#no", "a\nb"},
	} {
		got, err := exec.Command(shell, "-c", "printf '%s\\0' "+repeatable(command)).Output()
		if err != nil || string(got) != strings.Join(command, "\x00")+"\x00" {
			t.Errorf("%q is repeated as %q: %v", command, got, err)
		}
	}
	for _, out := range [][]string{{"--out", "my runs/a b/"}, {"--out=my runs/a b"}} {
		got, err := exec.Command(shell, "-c", "printf '%s\\n' "+repeatable(append([]string{"coinbench"}, out...))).Output()
		lines := strings.Split(strings.TrimSpace(string(got)), "\n")
		if dir := strings.TrimPrefix(lines[len(lines)-1], "--out="); err != nil || !strings.HasPrefix(dir, "my runs/a b-1") {
			t.Errorf("%q is repeated in %q: %v", out, dir, err)
		}
	}
}
