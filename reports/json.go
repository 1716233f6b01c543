package reports

import (
	"encoding/json"
	"io"

	"coinbench/capacity"
)

// JSON writes the analysis as result.json.
func JSON(w io.Writer, a *capacity.Analysis) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(a)
}
