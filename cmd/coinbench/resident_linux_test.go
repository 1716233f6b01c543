package main

import (
	"os"
	"regexp"
	"strconv"
	"testing"
)

// What has been let go comes back when it is used, so most of it stays away.
func TestLetGoUnmapsThePagesOfTheProgram(t *testing.T) {
	mapped := func() int {
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		kilobytes := regexp.MustCompile(`RssFile:\s+(\d+) kB`).FindSubmatch(status)
		if kilobytes == nil {
			t.Skip("not run: this kernel does not say how much of a file is mapped")
		}
		n, _ := strconv.Atoi(string(kilobytes[1]))
		return n
	}
	before := mapped()
	letGo()
	if after := mapped(); after > before*2/3 {
		t.Errorf("%d KB of the program's file were mapped, and are now %d", before, after)
	}
}
