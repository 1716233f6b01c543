package serve

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// queueLength returns how many connections wait in the kernel to be accepted: for a listening socket the kernel
// reports the length of its accept queue as tcpi_unacked.
func queueLength(l net.Listener) (int, bool) {
	info, ok := tcpInfo(l)
	return int(info.Unacked), ok
}

// queueWait returns how long a connection has waited to be accepted, when asked right after that. The kernel does
// not date connections, but it knows how long ago it last received data: a client sends its request as soon as it
// is connected, long before a serial server looks, so that is the age of the request. Its resolution is that of the
// kernel's clock tick, 1 to 10 ms.
func queueWait(c net.Conn) (time.Duration, bool) {
	info, ok := tcpInfo(c)
	return time.Duration(info.Last_data_recv) * time.Millisecond, ok
}

func tcpInfo(of any) (unix.TCPInfo, bool) {
	sc, ok := of.(syscall.Conn)
	if !ok {
		return unix.TCPInfo{}, false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return unix.TCPInfo{}, false
	}
	var info *unix.TCPInfo
	var infoErr error
	err = raw.Control(func(fd uintptr) { info, infoErr = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	if err != nil || infoErr != nil {
		return unix.TCPInfo{}, false
	}
	return *info, true
}
