//go:build !linux

package main

func letGo() {}
