// Package samples reads which packets the XDP programs dropped, or would have, as the kernel samples them.
//
// Nothing here consumes: any number of processes read the same ring, each with a position of its own (docs/decisions/0044). The
// host's agent, which exports them, moves the consumer's position, by which the kernel knows what it may overwrite.
package samples

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// record is struct sample of files/bpf/tripod_sample.h.
type record struct {
	Time               uint64 // ns of CLOCK_MONOTONIC
	Interface, Length  uint32
	Captured           uint16
	Slot, WouldSlot    uint16
	Queue              uint16
	Verdict, Reason    uint8
	Would, WouldReason uint8
	Taps               uint8
	_                  [3]uint8
	Packet             [128]uint8
}

// linux/bpf.h: flags in what precedes a record, whose first four bytes hold its length.
const (
	busy      = 1 << 31
	discarded = 1 << 30
	header    = 8
	size      = uint64(unsafe.Sizeof(record{}))
	// step is from one record to the next; all have one size, so that a reader can begin anywhere.
	step = header + size
)

// ring is a reader with a position of its own, behind the newest record when it is opened.
type ring struct {
	mapped   []byte
	page     uint64
	length   uint64
	position uint64
	// missed are records that the kernel wrote and overwrote before they were read.
	missed uint64
	fence  atomic.Uint64
}

// open maps a map's memory, which may be closed afterwards.
func open(m *ebpf.Map) (*ring, error) {
	r := &ring{page: uint64(os.Getpagesize()), length: uint64(m.MaxEntries())}
	// The producer's position, then the data, twice in a row, so that no record is in two pieces.
	mapped, err := unix.Mmap(m.FD(), int64(r.page), int(r.page+2*r.length), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the ring of samples: %w", err)
	}
	r.mapped = mapped
	r.position = r.produced()
	return r, nil
}

func (r *ring) close() { _ = unix.Munmap(r.mapped) }

// read returns what came since the last call, the oldest first; it does not wait.
func (r *ring) read() ([]record, error) {
	r.skip(r.oldest())
	end := r.produced()
	var found []record
	var places []uint64
	var strange error
	for r.position < end {
		at := r.page + r.position%r.length
		word := atomic.LoadUint32((*uint32)(unsafe.Pointer(&r.mapped[at])))
		if word&busy != 0 {
			break // still being written, and those behind it wait
		}
		if got := uint64(word &^ discarded); got != size {
			strange = fmt.Errorf("the ring of samples has records of %d bytes, not of %d: attach the program of this release", got, size)
			break
		}
		if word&discarded == 0 {
			found = append(found, *(*record)(unsafe.Pointer(&r.mapped[at+header])))
			places = append(places, r.position)
		}
		r.position += step
	}
	// What was copied is of before the position that is read next, on CPUs that would exchange them too.
	r.fence.Add(1)
	oldest := r.oldest()
	if strange != nil && r.position >= oldest {
		return nil, strange
	}
	torn := 0
	for torn < len(places) && places[torn] < oldest {
		torn++
	}
	r.missed += uint64(torn)
	r.skip(oldest)
	return found[torn:], nil
}

func (r *ring) produced() uint64 {
	return atomic.LoadUint64((*uint64)(unsafe.Pointer(&r.mapped[0])))
}

// oldest is the place of the oldest record that nobody writes over. The kernel fills in one header before it moves the producer's
// position, so one record less is safe than fits.
func (r *ring) oldest() uint64 {
	next := r.produced() + step
	if next <= r.length {
		return 0
	}
	return (next - r.length + step - 1) / step * step
}

func (r *ring) skip(to uint64) {
	if to > r.position {
		r.missed += (to - r.position) / step
		r.position = to
	}
}
