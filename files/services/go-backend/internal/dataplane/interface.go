package dataplane

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

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
	if judge, err := judging(dir, found); err != nil {
		return nil, err
	} else if judge != nil {
		judge.Name, judge.dir = name, dir
		found = judge
	}
	found.Program.Mode = attached.Mode
	return found, nil
}

// judging returns the program that judges, where what is attached only hands packets on to it; nil where that judges.
func judging(dir string, attached *Interface) (*Interface, error) {
	if !strings.HasPrefix(attached.Program.Name, object.EntryName) {
		return nil, nil
	}
	found, err := pinned(filepath.Join(dir, "judge"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, refuse(Damaged, "%w: program %d on interface %s hands packets on, and no pin says to which program: attach it again",
			ErrDamaged, attached.Program.ID, attached.Name)
	}
	return found, err
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
	return i.openMap(name, &ebpf.LoadPinOptions{ReadOnly: true})
}

// OpenSockets is OpenMap for the map of AF_XDP sockets by queue, which is the one that this service writes to.
func (i *Interface) OpenSockets() (*ebpf.Map, error) {
	return i.openWritable(object.SocketsName, ebpf.XSKMap)
}

// OpenSamples is OpenMap for the ring of samples, whose memory the kernel shows to nobody who may not write to it.
func (i *Interface) OpenSamples() (*ebpf.Map, error) {
	return i.openWritable(object.SamplesName, ebpf.RingBuf)
}

func (i *Interface) openWritable(name string, want ebpf.MapType) (*ebpf.Map, error) {
	m, err := i.openMap(name, nil)
	if err != nil {
		return nil, err
	}
	if kind := m.Type(); kind != want {
		m.Close()
		return nil, fmt.Errorf("%w: pin %s is a map of type %s: attach the program again", ErrDamaged,
			filepath.Join(i.dir, "maps", name), kind)
	}
	return m, nil
}

// Uses tells whether a map is the program's.
func (i *Interface) Uses(id ebpf.MapID) bool { return slices.Contains(i.maps, id) }

func (i *Interface) openMap(name string, options *ebpf.LoadPinOptions) (*ebpf.Map, error) {
	path := filepath.Join(i.dir, "maps", name)
	m, err := ebpf.LoadPinnedMap(path, options)
	if err != nil {
		return nil, pinError(path, err)
	}
	info, err := m.Info()
	if err != nil {
		m.Close()
		return nil, fmt.Errorf("%w: read map pinned at %s: %w", ErrDamaged, path, err)
	}
	if id, _ := info.ID(); !i.Uses(id) {
		m.Close()
		return nil, fmt.Errorf("%w: pin %s is map %d, which program %d on %s does not use (it uses %v): attach the program again",
			ErrDamaged, path, id, i.Program.ID, i.Name, i.maps)
	}
	return m, nil
}

// IsEarlier tells whether the program is of release 1.0.0, by the maps that it uses.
func (i *Interface) IsEarlier() bool {
	return !i.uses(object.PolicyName) && slices.ContainsFunc(object.EarlierPolicyNames(), i.uses)
}

// uses tells whether a map is pinned and the program's.
func (i *Interface) uses(name string) bool {
	m, err := i.OpenMap(name)
	if err != nil {
		return false
	}
	m.Close()
	return true
}

// checkMaps returns every pin below maps/ that is missing, or is no map of the program: a rule that is written there
// would not be obeyed.
func (i *Interface) checkMaps() error {
	entries, err := os.ReadDir(filepath.Join(i.dir, "maps"))
	if err != nil {
		return fmt.Errorf("%w: pins of %s: %w", ErrDamaged, i.Name, err)
	}
	needed := append([]string{object.CountersName, object.HitsName}, object.PolicyNames()...)
	if i.IsEarlier() {
		needed = append([]string{object.CountersName}, object.EarlierPolicyNames()...)
	}
	for _, entry := range entries {
		name := entry.Name()
		theirs := strings.Contains(name, ":") // a map of a program before or after ours
		if !theirs && !strings.HasSuffix(name, halfSuffix) && !slices.Contains(needed, name) {
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

// pinError says what permission a refused pin lacks.
func pinError(path string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, fs.ErrNotExist):
		hint = ": attach the program again"
	case errors.Is(err, unix.EACCES):
		hint = fmt.Sprintf(" (uid %d needs read permission on the pin, on %s write permission too, and search permission on its directories)",
			os.Getuid(), object.SocketsName+" and "+object.SamplesName)
	case errors.Is(err, unix.EPERM):
		hint = " (CAP_BPF is missing, or the engine's seccomp profile forbids bpf)"
	}
	return fmt.Errorf("%w: open pin %s: %w%s", ErrDamaged, path, err, hint)
}
