//go:build !unix

package main

func lowestPriority() {}
