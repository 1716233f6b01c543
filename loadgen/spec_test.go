package loadgen

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

func TestSpec(t *testing.T) {
	w := Workload{Name: "x", Targets: []Target{{URL: "http://127.0.0.1/"}}, Schedule: "5/s", Duration: time.Second,
		Reuse: Reuse{MaxRequests: 3, MaxAge: time.Minute}}
	spec, err := w.Spec(time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if spec.Closed || spec.Method != "GET" || spec.Schedule != "5/s" || spec.Begin != time.Hour ||
		spec.Reuse != "kept for 3 requests for 1m0s" {
		t.Errorf("%+v", spec)
	}
	var again Workload
	if err := json.Unmarshal(spec.Workload, &again); err != nil || !reflect.DeepEqual(w, again) {
		t.Errorf("%v: %+v", err, again)
	}
	if _, err := (Workload{}).Spec(0); err == nil {
		t.Error("a workload that cannot be played has a spec")
	}
}
