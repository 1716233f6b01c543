// Package other is changed from elsewhere.
package other

// Level is a variable.
var Level = 1

// Limits are made anew for each that asks.
func Limits() []int { return []int{Level} }
