//go:build !linux

package loadgen

func onTime() (restore func()) { return func() {} }
