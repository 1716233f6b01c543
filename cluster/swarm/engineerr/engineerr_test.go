package engineerr

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/moby/client"
)

// all are the kinds by their names in the recorded answers.
var all = map[string]Kind{"Passing": Passing, "NotFound": NotFound, "Taken": Taken, "PortTaken": PortTaken, "InUse": InUse,
	"BeingRemoved": BeingRemoved, "NoSocket": NoSocket, "SlowNetwork": SlowNetwork, "NoPlace": NoPlace, "Unhealthy": Unhealthy,
	"NotFrozen": NotFrozen, "Joining": Joining, "NoImage": NoImage, "Forbidden": Forbidden, "WrongMachine": WrongMachine,
	"BadMount": BadMount, "NoCommand": NoCommand, "NoSpace": NoSpace}

// What an engine answered is, by way of the client that reads it, of the kinds that it is, and of no other.
func TestRecordedAnswers(t *testing.T) {
	recorded, err := os.ReadFile("testdata/errors.txt")
	if err != nil {
		t.Fatal(err)
	}
	status, message := 0, ""
	engine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
	}))
	defer engine.Close()
	c, err := client.New(client.WithHost("tcp://"+engine.Listener.Addr().String()), client.WithAPIVersion("1.41"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for line := range strings.Lines(string(recorded)) {
		field := strings.SplitN(strings.TrimSpace(line), " ", 4)
		if strings.HasPrefix(line, "#") {
			continue
		}
		var is []string
		if message = field[3]; field[1] == "task" {
			for name, k := range all {
				if k.In(message) {
					is = append(is, name)
				}
			}
		} else {
			if status, err = strconv.Atoi(field[1]); err != nil {
				t.Fatal(err)
			}
			_, answer := c.ServiceInspect(t.Context(), "x", client.ServiceInspectOptions{})
			for name, k := range all {
				if k.Is(answer) {
					is = append(is, name)
				}
			}
		}
		if slices.Sort(is); strings.Join(is, ",") != strings.TrimPrefix(field[2], "-") {
			t.Errorf("%s is of the kinds %v, want %s", message, is, field[2])
		}
	}
	for _, s := range signs {
		if s.since == "" || s.class == nil && len(s.texts) == 0 {
			t.Errorf("%s is recognised by nothing, or since no engine", s.kind)
		}
	}
	if Passing.Is(nil) || Advice("No such image: x") == "" || Advice("task: non-zero exit (137)") != "" {
		t.Error("no error is passing, or advice is wrong")
	}
}
