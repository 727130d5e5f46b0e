package dataplane

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"

	"tripod/go-backend/internal/object"
)

// Interface is one interface with our program attached, as it was when it was read. It holds nothing open.
type Interface struct {
	Name    string
	Program Program

	dir  string
	maps []ebpf.MapID
}

// Program is an attached XDP program as the kernel knows it.
type Program struct {
	ID   uint32
	Name string
	// Tag is the kernel's digest of the instructions, in hex.
	Tag string
	// Mode is "native", "generic" or "offload".
	Mode string
}

// Count is one counter, summed over CPUs.
type Count struct {
	Verdict, Reason uint32
	object.Counter
}

// OpenMap opens a pinned map for reading. It refuses one that the attached program does not use,
// since its content would be somebody else's. The caller closes it.
func (i *Interface) OpenMap(name string) (*ebpf.Map, error) {
	path := filepath.Join(i.dir, "maps", name)
	m, err := ebpf.LoadPinnedMap(path, &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		return nil, pinError(path, err)
	}
	info, err := m.Info()
	if err != nil {
		m.Close()
		return nil, fmt.Errorf("read map pinned at %s: %w", path, err)
	}
	if id, _ := info.ID(); !slices.Contains(i.maps, id) {
		m.Close()
		return nil, fmt.Errorf("pin %s is map %d, which program %d on %s does not use (it uses %v): attach the program again",
			path, id, i.Program.ID, i.Name, i.maps)
	}
	return m, nil
}

// Counters returns the counters that have counted a packet, ordered by verdict and reason.
func (i *Interface) Counters() ([]Count, error) {
	m, err := i.OpenMap(object.CountersName)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("count CPUs: %w", err)
	}
	// One system call for all slots, so that one reading is as close to one moment as it can be.
	slots := int(m.MaxEntries())
	keys := make([]uint32, slots)
	values := make([]object.Counter, slots*cpus)
	var cursor ebpf.MapBatchCursor
	read, err := m.BatchLookup(&cursor, keys, values, nil)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil, fmt.Errorf("read map %s of %s: %w", object.CountersName, i.Name, err)
	}
	if read != slots {
		return nil, fmt.Errorf("read map %s of %s: the kernel returned %d of %d slots", object.CountersName, i.Name, read, slots)
	}
	var counts []Count
	for slot, key := range keys {
		count := Count{Verdict: key / object.ReasonSlots, Reason: key % object.ReasonSlots}
		for _, value := range values[slot*cpus : (slot+1)*cpus] {
			count.Packets += value.Packets
			count.Bytes += value.Bytes
		}
		if count.Packets > 0 {
			counts = append(counts, count)
		}
	}
	return counts, nil
}
