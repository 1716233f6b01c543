package history

import (
	"encoding/json"
	"strconv"
	"time"
)

// encode is json.Marshal, but for samples, of which a load generator writes a hundred thousand while it measures.
func encode(v any) ([]byte, error) {
	if s, isSample := v.(Sample); isSample {
		return s.appendJSON(make([]byte, 0, 256)), nil
	}
	return json.Marshal(v)
}

// appendJSON appends what json.Marshal makes of the sample.
func (s *Sample) appendJSON(b []byte) []byte {
	number := func(key string, n int64, always bool) {
		if n != 0 || always {
			b = append(b, key...)
			b = strconv.AppendInt(b, n, 10)
		}
	}
	duration := func(key string, d time.Duration, always bool) { number(key, int64(d), always) }
	text := func(key, t string) {
		if t != "" {
			b = append(b, key...)
			b = appendString(b, t)
		}
	}
	number(`{"seq":`, s.Seq, true)
	duration(`,"due":`, s.Due, true)
	duration(`,"sent":`, s.Sent, true)
	duration(`,"connect":`, s.Connect, false)
	duration(`,"first":`, s.First, false)
	duration(`,"done":`, s.Done, true)
	number(`,"status":`, int64(s.Status), false)
	number(`,"bytes":`, s.Bytes, false)
	text(`,"class":`, string(s.Class))
	text(`,"error":`, s.Error)
	text(`,"replica":`, s.Replica)
	text(`,"version":`, s.Version)
	return append(b, '}')
}

func appendString(b []byte, t string) []byte {
	for i := range len(t) {
		if c := t[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(t) // a string can always be marshalled
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, t...)
	return append(b, '"')
}
