package xsk

import (
	"errors"
	"fmt"
	"log/slog"

	"golang.org/x/sys/unix"
)

// ErrBusy is a queue that another socket serves.
var ErrBusy = errors.New("another AF_XDP socket serves this queue, of another instance perhaps: `ss --xdp -ap` shows whose; " +
	"end that first")

// explainSocket says what socket(2) means.
func explainSocket(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("make an AF_XDP socket: %w: capability NET_RAW is needed", err)
	case errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("make an AF_XDP socket: %w: the kernel is built without CONFIG_XDP_SOCKETS", err)
	}
	return fmt.Errorf("make an AF_XDP socket: %w", err)
}

// explainRegister says what XDP_UMEM_REG means.
func explainRegister(err error, size int) error {
	if errors.Is(err, unix.ENOBUFS) {
		var limit unix.Rlimit
		_ = unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit)
		return fmt.Errorf("give a UMEM of %d bytes to the kernel: %w: RLIMIT_MEMLOCK is %d bytes: raise it (ulimits: memlock) "+
			"or add capability IPC_LOCK", size, err, limit.Cur)
	}
	return fmt.Errorf("give a UMEM of %d bytes to the kernel: %w", size, err)
}

// explainBind says what bind(2) means on a kernel release.
func (c Config) explainBind(err error, kernel string) error {
	switch {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: %w", unix.EBUSY, ErrBusy)
	case errors.Is(err, unix.EINVAL) && c.MultiBuffer && older(kernel, 6, 6):
		return fmt.Errorf("multi-buffer frames need kernel 6.6, this is %s: %w", kernel, err)
	case (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT)) && c.Mode == ZeroCopy:
		return fmt.Errorf("its driver refuses zero-copy mode for this queue, as virtio_net does where the device does not offer "+
			"VIRTIO_F_ACCESS_PLATFORM (QEMU: iommu_platform=on) and VIRTIO_F_RING_RESET: %w: request auto or copy", err)
	case errors.Is(err, unix.EOPNOTSUPP) && c.Mode == ZeroCopy:
		return fmt.Errorf("its driver has no zero-copy mode for this (XDP_ZEROCOPY): %w: request auto or copy", err)
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("its driver has no zero-copy mode, which the UMEM that it shares is in: %w: request copy mode for all, "+
			"or give it a UMEM of its own", err)
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("the NIC went away: %w", err)
	}
	return fmt.Errorf("bind: %w", err)
}

// explainBusyPoll says what its options mean.
func explainBusyPoll(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("set busy polling: %w: capability NET_ADMIN is needed", err)
	case errors.Is(err, unix.ENOPROTOOPT):
		return fmt.Errorf("set busy polling: %w: kernel 5.11 and CONFIG_NET_RX_BUSY_POLL are needed", err)
	}
	return fmt.Errorf("set busy polling: %w", err)
}

// kernelRelease is the kernel's, such as 6.12.9-amd64.
func kernelRelease() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(name.Release[:])
}

// older tells whether a release is known to be before major.minor.
func older(kernel string, major, minor int) bool {
	var have [2]int
	if n, _ := fmt.Sscanf(kernel, "%d.%d", &have[0], &have[1]); n != 2 {
		return false
	}
	return have[0] < major || have[0] == major && have[1] < minor
}

// raiseMemlock lets the process lock so many bytes more. Where that is refused it goes on: with IPC_LOCK no limit applies,
// and where one does, the kernel says so.
func raiseMemlock(more uint64, log *slog.Logger) {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit)
	if err != nil || limit.Cur >= unix.RLIM_INFINITY-more {
		return
	}
	// What is locked already counts too, and the kernel does not say how much that is.
	raised := unix.Rlimit{Cur: limit.Cur + more, Max: max(limit.Max, limit.Cur+more)}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &raised); err != nil {
		log.Warn("RLIMIT_MEMLOCK cannot be raised, going on with what it is", "limit", limit.Cur, "needed", more, "error", err)
	}
}
