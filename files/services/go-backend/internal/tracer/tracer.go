// Package tracer runs frames through a twin of the attached XDP program: the same instructions on the same policy maps,
// with counters of its own and with tracing switched on.
package tracer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
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

// privateMaps are those that a twin has for itself. A map that is neither one of them nor of the policy is refused: tracing
// with an empty one would be a guess.
var privateMaps = []string{object.CountersName, object.TraceName}

// Result is what the program did with one frame.
type Result struct {
	Interface string
	Program   dataplane.Program
	// Verdict is an enum xdp_action.
	Verdict uint32
	// Reason names an enum tripod_reason.
	Reason string
	// Rule is the entry that decided, nil where none did.
	Rule *Rule
	// Duration is the program's run time as the kernel measured it.
	Duration time.Duration
}

// Rule is one entry of an access list.
type Rule struct {
	Prefix        netip.Prefix
	Action, Owner string
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
	// maxFrame is the longest frame, in bytes, that the program sees whole in a test run.
	maxFrame int
	// stale says why there is no twin of this program and object; nothing is loaded then.
	stale error
}

func load(iface *dataplane.Interface, file *object.Object) (*twin, error) {
	spec := file.Spec()
	replacements := make(map[string]*ebpf.Map, len(object.PolicyNames()))
	defer func() {
		for _, m := range replacements {
			m.Close()
		}
	}()
	for name, m := range spec.Maps {
		m.Pinning = ebpf.PinNone
		switch {
		case slices.Contains(object.PolicyNames(), name):
			policy, err := iface.OpenMap(name)
			if err != nil {
				return nil, err
			}
			replacements[name] = policy
		case !slices.Contains(privateMaps, name) && !strings.HasPrefix(name, "."):
			return nil, fmt.Errorf("%w: object %s has a map %s that this go-backend does not know; use both from one release",
				ErrStale, file.Path, name)
		}
	}
	if err := spec.Variables[object.TracingName].Set(true); err != nil {
		return nil, fmt.Errorf("set %s in %s: %w", object.TracingName, file.Path, err)
	}
	collection, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: replacements})
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
		program:    collection.Programs[object.ProgramName],
		trace:      collection.Maps[object.TraceName],
	}
	if err := t.verify(); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
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
	// A frame beyond one buffer is spread over fragments, of which the program sees the first only and judges the packet
	// truncated. How much fits depends on page size and kernel, so ask: the twin counts the bytes it sees.
	if _, _, err := t.program.Benchmark(make([]byte, os.Getpagesize()), 1, nil); err != nil {
		return fmt.Errorf("test-run the twin of program %d on %s: %w", t.iface.Program.ID, t.iface.Name, err)
	}
	bytes, err := t.countedBytes()
	if err != nil {
		return fmt.Errorf("read counters of the twin of program %d on %s: %w", t.iface.Program.ID, t.iface.Name, err)
	}
	t.maxFrame = int(bytes)
	return nil
}

func (t *twin) countedBytes() (uint64, error) {
	var (
		sum    uint64
		slot   uint32
		values []object.Counter
	)
	entries := t.collection.Maps[object.CountersName].Iterate()
	for entries.Next(&slot, &values) {
		for _, value := range values {
			sum += value.Bytes
		}
	}
	return sum, entries.Err()
}

func (t *twin) run(frame []byte) (Result, error) {
	verdict, duration, err := t.program.Benchmark(frame, 1, nil)
	if err != nil {
		return Result{}, fmt.Errorf("test-run the twin of program %d on %s: %w", t.iface.Program.ID, t.iface.Name, err)
	}
	var record object.TraceRecord
	if err := t.trace.Lookup(uint32(0), &record); err != nil {
		return Result{}, fmt.Errorf("read trace of the twin of program %d on %s: %w", t.iface.Program.ID, t.iface.Name, err)
	}
	if record.Verdict != verdict {
		return Result{}, fmt.Errorf("twin of program %d on %s returned verdict %d but recorded %d",
			t.iface.Program.ID, t.iface.Name, verdict, record.Verdict)
	}
	return Result{
		Interface: t.iface.Name,
		Program:   t.iface.Program,
		Verdict:   verdict,
		Reason:    t.object.Reasons.Name(record.Reason),
		Rule:      t.rule(&record),
		Duration:  duration,
	}, nil
}

// rule returns the entry that decided. A pass rule that matched a malformed packet did not: the reason then is not its own.
func (t *twin) rule(record *object.TraceRecord) *Rule {
	action := t.object.Actions.Name(record.Action)
	if t.object.Reasons.Name(record.Reason) != "acl_"+action {
		return nil
	}
	source := netip.AddrFrom16(record.Source)
	if record.Family == 4 {
		source = netip.AddrFrom4([4]byte(record.Source[:4]))
	}
	return &Rule{
		Prefix: netip.PrefixFrom(source, int(record.PrefixLen)).Masked(),
		Action: action,
		Owner:  t.object.Owners.Name(record.Owner),
	}
}
