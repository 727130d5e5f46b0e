package xsk

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxTxBudget is XDP_MAX_TX_SKB_BUDGET (kernel 6.17): packets that one call sends in copy mode, 32 by default.
const maxTxBudget = 9

// mapRings makes the four rings and maps them. What is mapped is noted at once, as every mapping keeps the queue busy.
func (s *Socket) mapRings() error {
	for _, one := range []struct {
		option  int
		entries uint32
	}{
		{unix.XDP_UMEM_FILL_RING, s.config.Fill}, {unix.XDP_UMEM_COMPLETION_RING, s.config.Tx},
		{unix.XDP_RX_RING, s.config.Rx}, {unix.XDP_TX_RING, s.config.Tx},
	} {
		if err := setsockopt(s.fd, one.option, &one.entries); err != nil {
			return fmt.Errorf("make a ring of %d entries: %w", one.entries, err)
		}
	}
	// Kernels before 6.17 refuse it, and want more calls.
	_ = setsockopt(s.fd, maxTxBudget, &s.config.Tx)
	var at unix.XDPMmapOffsets
	if err := getsockopt(s.fd, unix.XDP_MMAP_OFFSETS, &at); err != nil {
		return fmt.Errorf("read the rings' layout: %w", err)
	}
	var err error
	if s.fill.ring, err = mapRing[uint64](s, unix.XDP_UMEM_PGOFF_FILL_RING, at.Fr, s.config.Fill); err != nil {
		return err
	}
	if s.completion.ring, err = mapRing[uint64](s, unix.XDP_UMEM_PGOFF_COMPLETION_RING, at.Cr, s.config.Tx); err != nil {
		return err
	}
	if s.rx.ring, err = mapRing[Desc](s, unix.XDP_PGOFF_RX_RING, at.Rx, s.config.Rx); err != nil {
		return err
	}
	s.tx.ring, err = mapRing[Desc](s, unix.XDP_PGOFF_TX_RING, at.Tx, s.config.Tx)
	return err
}

func mapRing[T uint64 | Desc](s *Socket, page int64, at unix.XDPRingOffset, entries uint32) (ring[T], error) {
	var entry T
	size := int(at.Desc) + int(entries)*int(unsafe.Sizeof(entry))
	memory, err := unix.Mmap(s.fd, page, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return ring[T]{}, fmt.Errorf("map a ring of %d bytes: %w", size, err)
	}
	s.mappings = append(s.mappings, memory)
	return newRing[T](memory, at, entries)
}

// set applies it to a socket.
func (b BusyPoll) set(fd int) error {
	if b.Time == 0 {
		return nil
	}
	for _, one := range []struct{ option, value int }{
		{unix.SO_PREFER_BUSY_POLL, 1},
		{unix.SO_BUSY_POLL, int(b.Time / time.Microsecond)},
		{unix.SO_BUSY_POLL_BUDGET, b.Budget},
	} {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, one.option, one.value); err != nil {
			return explainBusyPoll(err)
		}
	}
	return nil
}

// readMode asks the kernel which mode it gave.
func (s *Socket) readMode() error {
	var options uint32
	if err := getsockopt(s.fd, unix.XDP_OPTIONS, &options); err != nil {
		return fmt.Errorf("read the mode obtained: %w", err)
	}
	switch {
	case options&unix.XDP_OPTIONS_ZEROCOPY != 0:
		s.mode = ZeroCopy
	case s.nic.Generic:
		s.mode = Generic
	default:
		s.mode = Copy
	}
	return nil
}

func (s *Socket) call(number uintptr) error {
	_, _, errno := unix.Syscall6(number, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return s.judge(errno)
}

// judge makes an error of what a call on the socket said. The kernel being at its limit is none: it takes what is in the
// rings with a later call.
func (s *Socket) judge(errno unix.Errno) error {
	switch errno {
	case 0:
		return nil
	case unix.EAGAIN, unix.EBUSY, unix.ENOBUFS, unix.EINTR:
		s.retries.Add(1)
		return nil
	case unix.ENETDOWN:
		return ErrDown
	case unix.ENXIO:
		return ErrGone
	}
	return errno
}

// Errors of calls on an open socket.
var (
	// ErrDown is a NIC that is down; what is in the rings waits until it is up.
	ErrDown = errors.New("the NIC is down")
	// ErrGone is a NIC that is not there any more, or a socket that is closed.
	ErrGone = errors.New("the NIC is gone")
)

func setsockopt[T any](fd, option int, value *T) error {
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option),
		uintptr(unsafe.Pointer(value)), unsafe.Sizeof(*value), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func getsockopt[T any](fd, option int, value *T) error {
	size := uint32(unsafe.Sizeof(*value))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option),
		uintptr(unsafe.Pointer(value)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return errno
	}
	if want := uint32(unsafe.Sizeof(*value)); size != want {
		return fmt.Errorf("the kernel gave %d bytes of %d: kernel 5.9 or newer is needed", size, want)
	}
	return nil
}

func addressOf(memory []byte) uint64 { return uint64(uintptr(unsafe.Pointer(&memory[0]))) }
