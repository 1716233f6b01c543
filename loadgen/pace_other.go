//go:build !linux

package loadgen

func fineTimers() (restore func()) { return func() {} }
