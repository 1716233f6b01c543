package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// letGo unmaps the pages of the program's own file that only its start needed, half of what it has resident: whatever runs next
// maps again what it uses, from the page cache. Mappings of which this process has written a page are left alone.
func letGo() {
	path, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer maps.Close()
	var begin, length uintptr // of the mapping that the lines are about; no length: not one of these
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) > 1 && strings.Contains(fields[0], "-"):
			length = 0
			var end uintptr
			if len(fields) == 6 && fields[5] == path && !strings.Contains(fields[1], "w") {
				if _, err := fmt.Sscanf(fields[0], "%x-%x", &begin, &end); err == nil {
					length = end - begin
				}
			}
		case len(fields) == 3 && fields[0] == "Anonymous:" && fields[1] == "0" && length > 0:
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, begin, length, unix.MADV_DONTNEED)
		}
	}
}
