//go:build !unix

package main

import "os"

func inForeground(*os.File) bool { return true }

// resizes is never told: the next frame has the new size.
func resizes() (changed <-chan os.Signal, stop func()) { return nil, func() {} }
