package dataplane

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"

	"tripod/go-backend/internal/object"
)

// batch is how many slots one system call reads, so that a reading is close to one moment and still of bounded memory.
const batch = 512

// Count is one counter, summed over CPUs.
type Count struct {
	Verdict, Reason uint32
	object.Counter
}

// Hit is what one slot of the map of hits has met, summed over CPUs.
type Hit struct {
	Slot uint32
	object.Hit
}

// Counters returns the counters that have counted a packet, ordered by verdict and reason.
func (i *Interface) Counters() ([]Count, error) {
	sums, err := readSlots[object.Counter](i, object.CountersName, object.VerdictSlots*object.ReasonSlots)
	if err != nil {
		return nil, err
	}
	var counts []Count
	for slot, sum := range sums {
		if sum.Packets > 0 {
			counts = append(counts, Count{uint32(slot) / object.ReasonSlots, uint32(slot) % object.ReasonSlots, sum})
		}
	}
	return counts, nil
}

// Hits returns what each part of the policy has met, of those that have met a packet, ordered by slot.
func (i *Interface) Hits() ([]Hit, error) {
	sums, err := readSlots[object.Hit](i, object.HitsName, object.HitSlots)
	if err != nil {
		return nil, err
	}
	var hits []Hit
	for slot, sum := range sums {
		// Slot 0 is nobody's.
		if slot > 0 && sum.Packets+sum.ObservedPackets > 0 {
			hits = append(hits, Hit{uint32(slot), sum})
		}
	}
	return hits, nil
}

// checkHits returns why the hits could not be read, without reading them.
func (i *Interface) checkHits() error {
	m, err := openSlots[object.Hit](i, object.HitsName, object.HitSlots)
	if err != nil {
		return err
	}
	return m.Close()
}

// summed is a value that every CPU has its own of.
type summed[V any] interface {
	*V
	Add(V)
}

// openSlots opens a map that has a value for each slot and CPU. The caller closes it.
func openSlots[V any](i *Interface, name string, slots uint32) (*ebpf.Map, error) {
	m, err := i.OpenMap(name)
	if err != nil {
		return nil, err
	}
	// What is read is sized by the map, so the map must have the size of ours.
	var value V
	size := uint32(unsafe.Sizeof(value))
	if m.Type() != ebpf.PerCPUArray || m.KeySize() != 4 || m.ValueSize() != size || m.MaxEntries() != slots {
		m.Close()
		return nil, fmt.Errorf("%w: map %s of %s is %s with %d entries of %d bytes, not %s with %d of %d: "+
			"attach the program of this release", ErrDamaged, name, i.Name,
			m.Type(), m.MaxEntries(), m.ValueSize(), ebpf.PerCPUArray, slots, size)
	}
	return m, nil
}

// readSlots returns the values of a map by slot, summed over CPUs.
func readSlots[V any, P summed[V]](i *Interface, name string, slots uint32) ([]V, error) {
	m, err := openSlots[V](i, name, slots)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("count CPUs: %w", err)
	}
	sums := make([]V, slots)
	keys := make([]uint32, min(batch, slots))
	values := make([]V, len(keys)*cpus)
	var cursor ebpf.MapBatchCursor
	for found := 0; ; {
		count, err := m.BatchLookup(&cursor, keys, values, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil, fmt.Errorf("read map %s of %s: %w", name, i.Name, err)
		}
		for at, slot := range keys[:count] {
			for _, value := range values[at*cpus : (at+1)*cpus] {
				P(&sums[slot]).Add(value)
			}
		}
		found += count
		if found == int(slots) {
			return sums, nil
		}
		if err != nil || count == 0 {
			return nil, fmt.Errorf("read map %s of %s: the kernel returned %d of %d slots", name, i.Name, found, slots)
		}
	}
}
