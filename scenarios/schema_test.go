package scenarios

import (
	"encoding/json"
	"os"
	"testing"
)

// The schema that is shipped for editors is the one that the types give.
func TestSchemaIsInStep(t *testing.T) {
	got, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("schema.json", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("schema.json")
	if err != nil || string(got) != string(want) {
		t.Errorf("schema.json is not in step with the types (write it with -update): %v", err)
	}
	if !json.Valid(got) {
		t.Error("not JSON")
	}
}
