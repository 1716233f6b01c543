//go:build !linux

package host

// Counters says nothing where there is no /proc.
func Counters() map[string]float64 { return nil }

// Kernel is not known here.
func Kernel() string { return "" }
