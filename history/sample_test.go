package history

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The short way says what json.Marshal says.
func TestEncodeSample(t *testing.T) {
	duration := rapid.Map(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64()), func(n int64) time.Duration { return time.Duration(n) })
	text := rapid.OneOf(rapid.Just(""), rapid.StringMatching(`[a-z0-9 .:]{1,20}`), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		s := Sample{
			Seq: rapid.Int64().Draw(t, "seq"), Due: duration.Draw(t, "due"), Sent: duration.Draw(t, "sent"), Connect: duration.Draw(t, "connect"),
			First: duration.Draw(t, "first"), Done: duration.Draw(t, "done"), Status: rapid.IntRange(0, 999).Draw(t, "status"),
			Bytes: int64(duration.Draw(t, "bytes")), Class: Class(text.Draw(t, "class")), Error: text.Draw(t, "error"),
			Replica: text.Draw(t, "replica"), Version: text.Draw(t, "version"),
		}
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := encode(s); err != nil || string(got) != string(want) {
			t.Errorf("%v\n got %s\nwant %s", err, got, want)
		}
	})
}
