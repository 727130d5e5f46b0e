// Package privilege makes the capabilities that the data plane needs effective, and gives up every other. What opening an
// AF_XDP socket takes is one thread's alone, and a worker's thread keeps what its program's map takes.
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

	netRaw  = 1 << unix.CAP_NET_RAW  // making an AF_XDP socket
	ipcLock = 1 << unix.CAP_IPC_LOCK // packet memory beyond RLIMIT_MEMLOCK

	opening = netRaw | ipcLock
)

var names = map[uint64]string{bpf: "BPF", perfmon: "PERFMON", netAdmin: "NET_ADMIN"}

// Drop keeps of the permitted capabilities those that are needed, effective on every thread, and gives all others up for good.
// Where there are to be sockets, one thread keeps what these take, too, and Opening is done there.
// The error names what is missing; the process can go on without, and only reports what it then cannot do.
func Drop(sockets bool) error {
	permitted, _, err := sets(0)
	if err != nil {
		return err
	}
	keep, missing := choose(permitted)
	var faults []error
	if extra := permitted & opening; sockets && extra != 0 {
		faults = append(faults, startOpener(keep|extra))
	}
	header, data := request(keep, keep)
	// Capabilities belong to threads, and the runtime has several before main begins.
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET,
		uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0); errno != 0 {
		return errors.Join(append(faults, fmt.Errorf("set capabilities: %w", errno))...)
	}
	if len(missing) > 0 {
		faults = append(faults, errors.New("missing capabilities: "+strings.Join(missing, ", ")+": add BPF, PERFMON and NET_ADMIN to the "+
			"container (SYS_ADMIN alone where the engine is older than 23.0), and leave out no-new-privileges"))
	}
	return errors.Join(faults...)
}

// ForPackets leaves the calling thread what a worker's takes: putting sockets into a map and taking them out. Packets take
// nothing. The thread must be locked, and end with its goroutine.
func ForPackets() error {
	permitted, _, err := sets(0)
	if err != nil {
		return err
	}
	keep := permitted & bpf
	if keep == 0 {
		keep = permitted & sysAdmin
	}
	return set(keep, keep)
}

// sets reads the capabilities of a thread, 0 being the calling one.
func sets(thread int) (permitted, effective uint64, err error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3, Pid: int32(thread)}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, 0, fmt.Errorf("read capabilities: %w", err)
	}
	return uint64(data[0].Permitted) | uint64(data[1].Permitted)<<32,
		uint64(data[0].Effective) | uint64(data[1].Effective)<<32, nil
}

// set changes those of the calling thread.
func set(permitted, effective uint64) error {
	header, data := request(permitted, effective)
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("set capabilities: %w", err)
	}
	return nil
}

func request(permitted, effective uint64) (unix.CapUserHeader, [2]unix.CapUserData) {
	var data [2]unix.CapUserData
	for i := range data {
		data[i] = unix.CapUserData{Permitted: uint32(permitted >> (32 * i)), Effective: uint32(effective >> (32 * i))}
	}
	return unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, data
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
