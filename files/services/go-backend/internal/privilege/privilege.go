// Package privilege makes the capabilities that the data plane needs effective, and gives up every other.
package privilege

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sets of capabilities, one bit each.
const (
	bpf      = 1 << unix.CAP_BPF       // any bpf(2) call
	perfmon  = 1 << unix.CAP_PERFMON   // packet pointers moved by a length read from the packet
	netAdmin = 1 << unix.CAP_NET_ADMIN // loading an XDP program
	sysAdmin = 1 << unix.CAP_SYS_ADMIN // stands in for all three, for engines too old to know the first two

	needed = bpf | perfmon | netAdmin
)

var names = map[uint64]string{bpf: "BPF", perfmon: "PERFMON", netAdmin: "NET_ADMIN"}

// Drop keeps of the permitted capabilities those that are needed, effective on every thread.
// The error names what is missing; the process can go on without, and only reports what it then cannot do.
func Drop() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	keep, missing := choose(uint64(sets[0].Permitted) | uint64(sets[1].Permitted)<<32)
	for i := range sets {
		half := uint32(keep >> (32 * i))
		sets[i] = unix.CapUserData{Permitted: half, Effective: half}
	}
	// Capabilities belong to threads, and the runtime has several before main begins.
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET,
		uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&sets[0])), 0); errno != 0 {
		return fmt.Errorf("set capabilities: %w", errno)
	}
	if len(missing) > 0 {
		return errors.New("missing capabilities: " + strings.Join(missing, ", ") + ": add BPF, PERFMON and NET_ADMIN to the " +
			"container (SYS_ADMIN alone where the engine is older than 23.0), and leave out no-new-privileges")
	}
	return nil
}

// choose returns the smallest sufficient part of the permitted set, and the names of what it lacks.
func choose(permitted uint64) (keep uint64, missing []string) {
	keep = permitted & needed
	if keep == needed {
		return keep, nil
	}
	if permitted&sysAdmin != 0 {
		return sysAdmin, nil
	}
	for lacking := needed &^ keep; lacking != 0; lacking &= lacking - 1 {
		missing = append(missing, names[1<<bits.TrailingZeros64(lacking)])
	}
	return keep, missing
}
