// Package tracer runs frames through a twin of the attached XDP program: the same instructions and constants on the same maps,
// with counters of its own, with tracing switched on and with all that would leave a mark switched off.
package tracer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/object"
)

// MinFrame is the length of an Ethernet header in bytes; the kernel tests nothing shorter.
const MinFrame = 14

// Errors that callers tell apart.
var (
	// ErrFrame is returned for a frame that the kernel cannot test.
	ErrFrame = errors.New("bad frame")
	// ErrStale is returned where the object file is not what the attached program was loaded from.
	ErrStale = errors.New("the attached program cannot be traced")
)

// maxFrame is beyond what any kernel hands to a program in a test (bytes).
const maxFrame = 1<<16 - 1

// privateMaps are those that a twin has for itself. It shares all others: tracing with an empty one would be a guess. Programs
// of others are not asked.
var privateMaps = []string{
	object.CountersName, object.TraceName, object.ConstantsName, object.ExtensionsName, object.ScratchesName,
}

// Result is what the program did with one frame.
type Result struct {
	Interface string
	Program   dataplane.Program
	// Verdict is an enum xdp_action.
	Verdict uint32
	// Reason names an enum tripod_reason.
	Reason string
	// Would is what the first part in observe mode that had a say would have made of it, and WouldReason why; 0 and empty
	// where none had.
	Would       uint32
	WouldReason string
	// Path is who was asked and said something, in the order of the questions.
	Path []Step
	// Extended: somebody else's program is asked after ours.
	Extended bool
	// Duration is the program's run time as the kernel measured it.
	Duration time.Duration
}

// Tracer keeps one twin per interface and makes it anew when the attached program or the object file changes.
type Tracer struct {
	root dataplane.Root
	file *object.File

	// One run at a time: the record of a run lies in a map until it is read. A run takes microseconds.
	mu    sync.Mutex
	twins map[string]*twin
}

// New returns a Tracer without twins; they are loaded when first needed.
func New(root dataplane.Root, file *object.File) *Tracer {
	return &Tracer{root: root, file: file, twins: make(map[string]*twin)}
}

// Trace runs one frame, from the destination MAC address on, through the program attached on the named interface.
//
// It returns ErrFrame, ErrStale, object.ErrUnusable, dataplane.ErrNotAttached or dataplane.ErrDamaged; any other error
// means that the kernel refused something.
func (t *Tracer) Trace(ctx context.Context, name string, frame []byte) (Result, error) {
	if len(frame) < MinFrame {
		return Result{}, fmt.Errorf("%w: %d bytes are less than an Ethernet header of %d", ErrFrame, len(frame), MinFrame)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	twin, err := t.twin(ctx, name)
	if err != nil {
		return Result{}, err
	}
	if len(frame) > twin.maxFrame {
		return Result{}, fmt.Errorf("%w: %d bytes are more than the %d that the kernel hands to a program in one test buffer",
			ErrFrame, len(frame), twin.maxFrame)
	}
	return twin.run(frame)
}

// Keep drops the twins of all interfaces that are not named, and with them their hold on policy maps.
func (t *Tracer) Keep(names []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name := range t.twins {
		if !slices.Contains(names, name) {
			t.drop(name)
		}
	}
}

// Close drops all twins.
func (t *Tracer) Close() {
	t.Keep(nil)
}

func (t *Tracer) drop(name string) {
	if twin, ok := t.twins[name]; ok {
		twin.close()
		delete(t.twins, name)
	}
}

// twin returns the twin of what is attached right now.
func (t *Tracer) twin(ctx context.Context, name string) (*twin, error) {
	file, err := t.file.Object()
	if err != nil {
		return nil, err
	}
	if old, ok := t.twins[name]; ok {
		// Program ids are unique until the host reboots, so the same id means the same program and maps.
		attached, err := dataplane.Attached(name)
		if err == nil && attached.ProgramID == old.iface.Program.ID && old.object == file {
			old.iface.Program.Mode = attached.Mode
			return old, old.stale
		}
		t.drop(name)
	}
	iface, err := t.root.Interface(ctx, name)
	if err != nil {
		return nil, err
	}
	fresh, err := load(iface, file)
	if errors.Is(err, ErrStale) {
		// Remembered, since verifying costs a good part of a second and can only end the same way.
		fresh = &twin{iface: iface, object: file, stale: err}
	} else if err != nil {
		return nil, err
	}
	t.twins[name] = fresh
	return fresh, err
}

type twin struct {
	iface      *dataplane.Interface
	object     *object.Object
	collection *ebpf.Collection
	program    *ebpf.Program
	trace      *ebpf.Map
	// extended: somebody else's program is asked after the one whose twin this is.
	extended bool
	// maxFrame is the longest frame, in bytes, that the program sees whole in a test run.
	maxFrame int
	// stale says why there is no twin of this program and object; nothing is loaded then.
	stale error
}

func load(iface *dataplane.Interface, file *object.Object) (*twin, error) {
	if iface.IsEarlier() {
		return nil, fmt.Errorf("%w: program %d on %s is of an earlier release: attach that of this release",
			ErrStale, iface.Program.ID, iface.Name)
	}
	spec := file.Spec()
	name := programName(iface.Program.Name)
	maps.DeleteFunc(spec.Programs, func(other string, _ *ebpf.ProgramSpec) bool { return other != name })
	extended, err := adopt(iface, spec)
	if err != nil {
		return nil, err
	}
	shared := make(map[string]*ebpf.Map, len(spec.Maps))
	defer func() {
		for _, m := range shared {
			m.Close()
		}
	}()
	for name, m := range spec.Maps {
		m.Pinning = ebpf.PinNone
		if slices.Contains(privateMaps, name) {
			continue
		}
		if shared[name], err = iface.OpenMap(object.Pin(name)); err != nil {
			delete(shared, name)
			return nil, err
		}
	}
	// The library would map them for writing, which a twin may not.
	maps.DeleteFunc(spec.Variables, func(_ string, one *ebpf.VariableSpec) bool { return shared[one.SectionName] != nil })
	collection, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: shared})
	if errors.Is(err, ebpf.ErrMapIncompatible) {
		return nil, fmt.Errorf("%w: the maps of program %d on %s are laid out otherwise than in %s: "+
			"attach the program of that object, or restore the object: %w", ErrStale, iface.Program.ID, iface.Name, file.Path, err)
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		// Without CAP_PERFMON the verifier refuses packet pointers moved by a length read from the packet.
		return nil, fmt.Errorf("load a twin of program %d on %s from %s (CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are needed): %w",
			iface.Program.ID, iface.Name, file.Path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("load a twin of program %d on %s from %s: %w", iface.Program.ID, iface.Name, file.Path, err)
	}
	t := &twin{
		iface:      iface,
		object:     file,
		collection: collection,
		program:    collection.Programs[name],
		trace:      collection.Maps[object.TraceName],
		extended:   extended,
	}
	if err := t.verify(); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// programName returns which of the object's programs the kernel knows under a name.
func programName(known string) string {
	// Whole where its types are at hand, else cut to 15 bytes.
	if known == object.FragmentsProgramName || known == object.FragmentsProgramName[:unix.BPF_OBJ_NAME_LEN-1] {
		return object.FragmentsProgramName
	}
	return object.ProgramName
}

// adopt gives a collection the constants of the program on an interface, such as where in the policy its tables lie, and tells
// whether somebody else's program is asked after it. What would leave a mark is switched off.
func adopt(iface *dataplane.Interface, spec *ebpf.CollectionSpec) (extended bool, err error) {
	constants, err := iface.OpenMap(object.ConstantsPin)
	if err != nil {
		return false, err
	}
	defer constants.Close()
	value, err := constants.LookupBytes(uint32(0))
	if err != nil {
		return false, fmt.Errorf("read the constants of program %d on %s: %w", iface.Program.ID, iface.Name, err)
	}
	if want := spec.Maps[object.ConstantsName].ValueSize; len(value) != int(want) {
		return false, fmt.Errorf("%w: program %d on %s has %d bytes of constants, the object has %d: "+
			"attach the program of that object, or restore the object", ErrStale, iface.Program.ID, iface.Name, len(value), want)
	}
	for _, variable := range spec.Variables {
		if variable.SectionName == object.ConstantsName {
			variable.Value = slices.Clone(value[variable.Offset:][:variable.Size()])
		}
	}
	if err := spec.Variables[object.ExtendedName].Get(&extended); err != nil {
		return false, fmt.Errorf("constant %s: %w", object.ExtendedName, err)
	}
	for name, on := range map[string]bool{
		object.TracingName: true, object.ChargingName: false, object.ExtendedName: false,
	} {
		if err := spec.Variables[name].Set(on); err != nil {
			return false, fmt.Errorf("set constant %s: %w", name, err)
		}
	}
	return extended, nil
}

func (t *twin) close() {
	if t.collection != nil {
		t.collection.Close()
	}
}

// verify proves that the twin has the attached program's instructions, and measures the longest frame.
func (t *twin) verify() error {
	info, err := t.program.Info()
	if err != nil {
		return fmt.Errorf("read the twin of program %d on %s: %w", t.iface.Program.ID, t.iface.Name, err)
	}
	if info.Tag != t.iface.Program.Tag {
		return fmt.Errorf("%w: program %d on %s has tag %s, the object %s gives %s: "+
			"attach that object's program, or put back the object that the program was loaded from",
			ErrStale, t.iface.Program.ID, t.iface.Name, t.iface.Program.Tag, t.object.Path, info.Tag)
	}
	// A frame beyond one buffer is spread over fragments, of which a program that knows none sees the first only and judges the
	// packet truncated. How much fits depends on page size and kernel, so ask: the record has the length that it sees.
	_, _, record, err := t.test(make([]byte, maxFrame))
	if err != nil {
		_, _, record, err = t.test(make([]byte, os.Getpagesize()))
	}
	if err != nil {
		return err
	}
	t.maxFrame = int(record.Length)
	return nil
}

// test runs a frame, and returns the verdict, how long that took, and the record of it.
func (t *twin) test(frame []byte) (verdict uint32, duration time.Duration, record object.TraceRecord, err error) {
	if verdict, duration, err = t.program.Benchmark(frame, 1, nil); err != nil {
		return 0, 0, record, fmt.Errorf("test-run the twin of program %d on %s: %w", t.iface.Program.ID, t.iface.Name, err)
	}
	if err := t.trace.Lookup(uint32(0), &record); err != nil {
		return 0, 0, record, fmt.Errorf("read trace of the twin of program %d on %s: %w", t.iface.Program.ID, t.iface.Name, err)
	}
	return verdict, duration, record, nil
}

func (t *twin) run(frame []byte) (Result, error) {
	verdict, duration, record, err := t.test(frame)
	if err != nil {
		return Result{}, err
	}
	if record.Verdict != verdict {
		return Result{}, fmt.Errorf("twin of program %d on %s returned verdict %d but recorded %d",
			t.iface.Program.ID, t.iface.Name, verdict, record.Verdict)
	}
	result := Result{
		Interface: t.iface.Name,
		Program:   t.iface.Program,
		Verdict:   verdict,
		Reason:    t.object.Reasons.Name(record.Reason),
		Would:     record.Would,
		Path:      path(&record, t.object.Names),
		Extended:  t.extended,
		Duration:  duration,
	}
	if record.Would != 0 {
		result.WouldReason = t.object.Reasons.Name(record.WouldReason)
	}
	return result, nil
}
