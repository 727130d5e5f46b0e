package umem

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PageSize is in bytes; 0 is the system's smallest.
type PageSize uint

// Sizes of huge pages.
const (
	Huge2M PageSize = 2 << 20
	Huge1G PageSize = 1 << 30
)

// maxNodes is how many NUMA nodes a kernel can have (MAX_NUMNODES of x86-64 and arm64).
const maxNodes = 1024

func (s PageSize) known() bool { return s == 0 || s == Huge2M || s == Huge1G }

func (s PageSize) huge() bool { return s != 0 }

func (s PageSize) bytes() int {
	if s.huge() {
		return int(s)
	}
	return os.Getpagesize()
}

// String is the size as people write it.
func (s PageSize) String() string {
	size := s.bytes()
	unit := (bits.Len(uint(size)) - 1) / 10
	return fmt.Sprintf("%d %s", size>>(10*unit), [...]string{"B", "KiB", "MiB", "GiB"}[unit])
}

// take maps memory, makes every page of it present on a node and reads back where it is.
func take(size int, pages PageSize, node int) ([]byte, Placement, error) {
	what := fmt.Sprintf("UMEM of %d bytes in pages of %s", size, pages)
	size = (size + pages.bytes() - 1) &^ (pages.bytes() - 1)
	flags := unix.MAP_PRIVATE | unix.MAP_ANONYMOUS
	if pages.huge() {
		flags |= unix.MAP_HUGETLB | bits.TrailingZeros(uint(pages))<<unix.MAP_HUGE_SHIFT
	}
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, flags)
	if err != nil {
		return nil, Placement{}, fmt.Errorf("%s: %w%s", what, err, shortage(sysfs, size, pages, node))
	}
	placement, err := place(memory, pages, node)
	if err != nil {
		_ = unix.Munmap(memory)
		return nil, Placement{}, fmt.Errorf("%s: %w", what, err)
	}
	return memory, placement, nil
}

// place binds memory to a node before a page of it is there, then makes all pages present.
func place(memory []byte, pages PageSize, node int) (Placement, error) {
	var refused error
	if node != AnyNode {
		refused = bind(memory, node)
		if refused != nil && !errors.Is(refused, unix.EPERM) {
			return Placement{}, fmt.Errorf("bind to NUMA node %d: %w%s", node, refused, absent(sysfs, node))
		}
	}
	// Touching the pages instead would end the process with SIGBUS where the node has too few.
	if err := unix.Madvise(memory, unix.MADV_POPULATE_WRITE); err != nil {
		if errors.Is(err, unix.EINVAL) {
			return Placement{}, fmt.Errorf("make its pages present: %w: kernel 5.14 or newer is needed", err)
		}
		return Placement{}, fmt.Errorf("make its pages present: %w%s", err, shortage(sysfs, len(memory), pages, node))
	}
	placement, err := PlacementOf(memory)
	if err != nil {
		return Placement{}, err
	}
	if err := placement.satisfies(len(memory), pages, node); err != nil {
		if refused != nil {
			// Docker's seccomp profile keeps mbind from containers without SYS_NICE; a cpuset's memory nodes do as well.
			err = fmt.Errorf("%w: binding it is denied (%w): give the container the node's memory alone (cpuset_mems), "+
				"or SYS_NICE", err, refused)
		}
		return Placement{}, err
	}
	return placement, nil
}

func bind(memory []byte, node int) error {
	var mask [maxNodes / 64]uint64
	mask[node/64] = 1 << (node % 64)
	// The kernel takes one bit off the count (get_nodes in mm/mempolicy.c).
	_, _, errno := unix.Syscall6(unix.SYS_MBIND, uintptr(unsafe.Pointer(&memory[0])), uintptr(len(memory)),
		unix.MPOL_BIND, uintptr(unsafe.Pointer(&mask)), maxNodes+1, unix.MPOL_MF_STRICT)
	if errno != 0 {
		return errno
	}
	return nil
}

// sysfs is where the kernel tells of nodes and huge pages.
const sysfs = "/sys"

// shortage says how many huge pages are free where they were requested, and what to do; nothing of ordinary pages.
func shortage(sysfs string, size int, pages PageSize, node int) string {
	if !pages.huge() {
		return ""
	}
	directory, where := filepath.Join(sysfs, "kernel/mm/hugepages"), "this host"
	if node != AnyNode {
		directory, where = filepath.Join(nodeDirectory(sysfs, node), "hugepages"), fmt.Sprintf("NUMA node %d", node)
	}
	free, err := os.ReadFile(filepath.Join(directory, fmt.Sprintf("hugepages-%dkB", uint(pages)>>10), "free_hugepages"))
	count := strings.TrimSpace(string(free))
	if _, bad := strconv.Atoi(count); err != nil || bad != nil {
		count = "no known"
	}
	return fmt.Sprintf(": %d pages are needed, %s has %s free ones: reserve more (role hugepages), or allow the fallback to "+
		"ordinary pages", size/pages.bytes(), where, count)
}

// absent says that a node is not there, where it is not.
func absent(sysfs string, node int) string {
	if _, err := os.Stat(nodeDirectory(sysfs, node)); err == nil {
		return ""
	}
	online, err := os.ReadFile(filepath.Join(sysfs, "devices/system/node/online"))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(": this host has the nodes %s", strings.TrimSpace(string(online)))
}

func nodeDirectory(sysfs string, node int) string {
	return filepath.Join(sysfs, "devices/system/node", fmt.Sprintf("node%d", node))
}
