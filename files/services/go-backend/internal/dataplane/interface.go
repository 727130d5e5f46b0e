package dataplane

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/object"
)

// Interface is one interface with a pinned program, as it was when it was read. It holds nothing open.
type Interface struct {
	Name    string
	Program Program

	dir  string
	maps []ebpf.MapID
}

// Program is an XDP program as the kernel knows it.
type Program struct {
	ID   uint32
	Name string
	// Tag is the kernel's digest of the instructions, in hex.
	Tag string
	// Mode is "native", "generic" or "offload"; empty where the program does not run.
	Mode string
}

// Count is one counter, summed over CPUs.
type Count struct {
	Verdict, Reason uint32
	object.Counter
}

// open reads what is pinned for an interface, and compares it with what the interface runs.
// Where only the comparison fails, the interface comes with the error: its maps can still be read.
func open(dir, name string) (*Interface, error) {
	path := filepath.Join(dir, "prog")
	found, pinErr := pinned(path)
	if pinErr != nil && !errors.Is(pinErr, fs.ErrNotExist) {
		return nil, pinErr
	}
	if found != nil {
		found.Name, found.dir = name, dir
	}
	attached, err := Attached(name)
	switch {
	case err != nil:
		return found, err
	case attached.ProgramID == 0:
		return found, unsettled(Detached, "%w on interface %s: it runs no XDP program at all: attach it again",
			ErrNotAttached, name)
	case found == nil:
		return nil, unsettled(Unpinned, "%w on interface %s: it runs program %d, and there is no pin %s: attach the program again",
			ErrNotAttached, name, attached.ProgramID, path)
	case attached.ProgramID != found.Program.ID:
		return found, unsettled(Foreign, "%w on interface %s: it runs program %d, the pin %s is program %d: attach the program again",
			ErrNotAttached, name, attached.ProgramID, path, found.Program.ID)
	}
	found.Program.Mode = attached.Mode
	return found, nil
}

// pinned reads a program's pin.
func pinned(path string) (*Interface, error) {
	program, err := ebpf.LoadPinnedProgram(path, &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		return nil, refuse(Unreadable, "%w", pinError(path, err))
	}
	defer program.Close()
	info, err := program.Info()
	if err != nil {
		return nil, refuse(Unreadable, "%w: read program pinned at %s: %w", ErrDamaged, path, err)
	}
	id, _ := info.ID()
	maps, _ := info.MapIDs()
	return &Interface{Program: Program{ID: uint32(id), Name: clean(info.Name), Tag: clean(info.Tag)}, maps: maps}, nil
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
		return nil, fmt.Errorf("%w: read map pinned at %s: %w", ErrDamaged, path, err)
	}
	if id, _ := info.ID(); !slices.Contains(i.maps, id) {
		m.Close()
		return nil, fmt.Errorf("%w: pin %s is map %d, which program %d on %s does not use (it uses %v): attach the program again",
			ErrDamaged, path, id, i.Program.ID, i.Name, i.maps)
	}
	return m, nil
}

// checkMaps returns every pin below maps/ that is missing, or is no map of the program: a rule that is written there
// would not be obeyed.
func (i *Interface) checkMaps() error {
	entries, err := os.ReadDir(filepath.Join(i.dir, "maps"))
	if err != nil {
		return fmt.Errorf("%w: pins of %s: %w", ErrDamaged, i.Name, err)
	}
	needed := append([]string{object.CountersName}, object.PolicyNames()...)
	for _, entry := range entries {
		if name := entry.Name(); !strings.HasSuffix(name, halfSuffix) && !slices.Contains(needed, name) {
			needed = append(needed, name)
		}
	}
	var wrong []error
	for _, name := range needed {
		m, err := i.OpenMap(name)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		m.Close()
	}
	return errors.Join(wrong...)
}

// Counters returns the counters that have counted a packet, ordered by verdict and reason.
func (i *Interface) Counters() ([]Count, error) {
	m, err := i.OpenMap(object.CountersName)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	// What is read next is sized by the map, so the map must have the size of ours.
	const slots, size = object.VerdictSlots * object.ReasonSlots, uint32(unsafe.Sizeof(object.Counter{}))
	if m.Type() != ebpf.PerCPUArray || m.KeySize() != 4 || m.ValueSize() != size || m.MaxEntries() != slots {
		return nil, fmt.Errorf("%w: map %s of %s is %s with %d entries of %d bytes, not %s with %d of %d: "+
			"attach the program of this release", ErrDamaged, object.CountersName, i.Name,
			m.Type(), m.MaxEntries(), m.ValueSize(), ebpf.PerCPUArray, slots, size)
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("count CPUs: %w", err)
	}
	// One system call for all slots, so that one reading is as close to one moment as it can be.
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

// pinError says what permission a refused pin lacks.
func pinError(path string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, fs.ErrNotExist):
		hint = ": attach the program again"
	case errors.Is(err, unix.EACCES):
		hint = fmt.Sprintf(" (uid %d needs read permission on the pin and search permission on its directories)", os.Getuid())
	case errors.Is(err, unix.EPERM):
		hint = " (CAP_BPF is missing, or the engine's seccomp profile forbids bpf)"
	}
	return fmt.Errorf("%w: open pin %s: %w%s", ErrDamaged, path, err, hint)
}
