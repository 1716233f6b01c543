package capacity

import "coinbench/internal/visible"

// FormatSeconds is a length of time, measured or predicted, as every text has it.
func FormatSeconds(s float64) string { return visible.Seconds(s) }
