package capacity

import (
	"fmt"
	"math"
	"strings"
)

// FormatSeconds is a length of time, measured or predicted, with three significant digits and in the unit that a person would say:
// microseconds below a tenth of a millisecond, milliseconds below a second, minutes from two of them on, hours from two of them on.
func FormatSeconds(s float64) string {
	switch a := math.Abs(s); {
	case a < 5e-7:
		return "0 ms"
	case a < 99.95e-6:
		return significant(s*1e6) + " µs"
	case a < .9995:
		return significant(s*1000) + " ms"
	case a < 119.5:
		return significant(s) + " s"
	case a < 2*3600-30:
		whole := math.Round(a)
		return strings.TrimSuffix(fmt.Sprintf("%.0f min %.0f s", math.Floor(whole/60), math.Mod(whole, 60)), " 0 s")
	default:
		minutes := math.Round(a / 60)
		return strings.TrimSuffix(fmt.Sprintf("%.0f h %.0f min", math.Floor(minutes/60), math.Mod(minutes, 60)), " 0 min")
	}
}
