package xsk

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Option returns an option of the socket.
func (s *Socket) Option(t testing.TB, option int) int {
	t.Helper()
	value, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, option)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// KernelBefore tells whether the kernel that runs the tests is older than major.minor.
func KernelBefore(major, minor int) bool { return older(kernelRelease(), major, minor) }
