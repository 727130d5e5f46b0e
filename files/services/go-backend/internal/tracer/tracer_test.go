package tracer_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/object"
	"tripod/go-backend/internal/tracer"
)

// Values of enum xdp_action.
const (
	drop = 1
	pass = 2
)

func TestMain(m *testing.M) { bpftest.Main(m) }

// setUp attaches the object on one interface and returns a tracer for it.
func setUp(t testing.TB) (*bpftest.Host, string, *tracer.Tracer) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.Attach(name, nil)
	traces := tracer.New(dataplane.NewRoot(h.Root), object.Open(bpftest.Object(t)))
	t.Cleanup(traces.Close)
	return h, name, traces
}

func liveCounters(t testing.TB, h *bpftest.Host, name string) []dataplane.Count {
	t.Helper()
	found, err := dataplane.NewRoot(h.Root).Interface(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	counts, err := found.Counters()
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

func cut(frame []byte, length int) []byte { return frame[:length] }

// slot is where the only list of most tests is counted.
const slot = 7

func TestATraceTellsWhatHappensToThePacketItself(t *testing.T) {
	h, name, traces := setUp(t)
	h.SetPolicy(name, bpftest.NewPolicy().List(slot, bpftest.ActionDrop, "192.0.0.0/16"))
	for i, frame := range [][]byte{
		bpftest.UDP("192.0.2.127", 9), bpftest.UDP("192.1.2.128", 9), bpftest.Ethernet(bpftest.TypeARP, make([]byte, 28)),
	} {
		traced, err := traces.Trace(t.Context(), name, frame)
		if err != nil {
			t.Fatal(err)
		}
		before := liveCounters(t, h, name)
		h.Send(name, frame, 1)
		after := liveCounters(t, h, name)
		if len(after) != len(before)+1 {
			t.Fatalf("frame %d: %v became %v", i, before, after)
		}
		names, _ := object.Load(bpftest.Object(t))
		for _, count := range after {
			if count.Packets == 1 && count.Verdict == traced.Verdict && names.Reasons.Name(count.Reason) == traced.Reason {
				traced.Reason = "" // found
			}
		}
		if traced.Reason != "" {
			t.Errorf("frame %d was traced as %d %s, but counted %v", i, traced.Verdict, traced.Reason, after)
		}
		h.Attach(name, nil)
	}
}

func TestLiveCountersStayAsTheyWere(t *testing.T) {
	h, name, traces := setUp(t)
	h.SetPolicy(name, bpftest.NewPolicy().List(slot, bpftest.ActionDrop, "192.0.0.0/16"))
	h.Send(name, bpftest.UDP("192.0.2.1", 0), 7)
	h.Send(name, bpftest.UDP("198.51.100.1", 0), 3)
	before := liveCounters(t, h, name)
	if len(before) != 2 {
		t.Fatalf("counted %v", before)
	}
	for range 100 {
		for _, source := range []string{"192.0.2.1", "198.51.100.1", "2001:db8::1"} {
			if _, err := traces.Trace(t.Context(), name, bpftest.UDP(source, 0)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if after := liveCounters(t, h, name); !reflect.DeepEqual(after, before) {
		t.Errorf("%v became %v", before, after)
	}
}

func TestAPolicyChangeIsSeenAtOnce(t *testing.T) {
	h, name, traces := setUp(t)
	frame := bpftest.UDP("203.0.113.9", 0)
	for _, want := range []uint32{pass, drop} {
		got, err := traces.Trace(t.Context(), name, frame)
		if err != nil || got.Verdict != want {
			t.Errorf("got %d, %v, want %d", got.Verdict, err, want)
		}
		h.SetPolicy(name, bpftest.NewPolicy().List(slot, bpftest.ActionDrop, "203.0.0.0/16"))
	}
}

func TestFrameLimits(t *testing.T) {
	_, name, traces := setUp(t)
	longest := 0
	for length := os.Getpagesize(); length > 0 && longest == 0; length-- {
		got, err := traces.Trace(t.Context(), name, make([]byte, length))
		if err == nil {
			longest = length
			if got.Reason != "not_ip" {
				t.Errorf("%d bytes: %s", length, got.Reason)
			}
		} else if !errors.Is(err, tracer.ErrFrame) {
			t.Fatalf("%d bytes: %v", length, err)
		}
	}
	if longest < 1518 {
		t.Errorf("the longest frame accepted has %d bytes, less than Ethernet's own", longest)
	}
	// The longest frame is seen whole: its IP length reaches to the last byte.
	for _, test := range []struct {
		payload int
		reason  string
	}{{longest - 42, "no_rule"}, {longest - 43, "no_rule"}} {
		if got, err := traces.Trace(t.Context(), name, bpftest.UDP("192.0.2.1", test.payload)); err != nil || got.Reason != test.reason {
			t.Errorf("payload %d: %s, %v", test.payload, got.Reason, err)
		}
	}
	for _, length := range []int{0, 1, 13} {
		if _, err := traces.Trace(t.Context(), name, make([]byte, length)); !errors.Is(err, tracer.ErrFrame) || !strings.Contains(err.Error(), "14") {
			t.Errorf("%d bytes: %v", length, err)
		}
	}
	_, err := traces.Trace(t.Context(), name, make([]byte, longest+1))
	if !errors.Is(err, tracer.ErrFrame) || !strings.Contains(err.Error(), fmt.Sprint(longest)) {
		t.Errorf("one byte too many: %v", err)
	}
}

func TestAProgramForSeveralBuffersHasATwinThatSeesThemAll(t *testing.T) {
	h := bpftest.NewHost(t)
	h.Program = object.FragmentsProgramName
	name := h.AddInterface()
	h.Attach(name, nil)
	traces := tracer.New(dataplane.NewRoot(h.Root), object.Open(bpftest.Object(t)))
	defer traces.Close()
	got, err := traces.Trace(t.Context(), name, bpftest.UDP("192.0.2.1", 9000-42))
	if err != nil || got.Verdict != pass || got.Reason != "no_rule" || !strings.HasPrefix(got.Program.Name, "tripod_xdp_frag") {
		t.Errorf("got %+v, %v", got, err)
	}
}

// other changes the instructions, as another release of the program would.
func other(spec *ebpf.CollectionSpec) {
	program := spec.Programs[object.ProgramName]
	first := program.Instructions[0]
	nop := asm.Mov.Reg(asm.R1, asm.R1).WithMetadata(first.Metadata)
	first.Metadata = asm.Metadata{}
	program.Instructions = append(asm.Instructions{nop, first}, program.Instructions[1:]...)
}

func TestAProgramOfAnotherObjectIsRefused(t *testing.T) {
	h, name, traces := setUp(t)
	frame := bpftest.UDP("192.0.2.1", 0)
	if _, err := traces.Trace(t.Context(), name, frame); err != nil {
		t.Fatal(err)
	}
	h.Attach(name, other)
	_, err := traces.Trace(t.Context(), name, frame)
	if !errors.Is(err, tracer.ErrStale) || !strings.Contains(err.Error(), "tag") {
		t.Errorf("got %v", err)
	}
	h.Attach(name, nil)
	if _, err := traces.Trace(t.Context(), name, frame); err != nil {
		t.Errorf("after the right program came back: %v", err)
	}
}

func TestMapsOfAnotherLayoutAreRefused(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.Attach(name, func(spec *ebpf.CollectionSpec) { spec.Maps["bans"].MaxEntries = 10 })
	traces := tracer.New(dataplane.NewRoot(h.Root), object.Open(bpftest.Object(t)))
	defer traces.Close()
	if _, err := traces.Trace(t.Context(), name, bpftest.UDP("192.0.2.1", 0)); !errors.Is(err, tracer.ErrStale) {
		t.Errorf("got %v", err)
	}
}

func TestAProgramOfAnEarlierReleaseIsRefused(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.AttachEarlier(name)
	traces := tracer.New(dataplane.NewRoot(h.Root), object.Open(bpftest.Object(t)))
	defer traces.Close()
	_, err := traces.Trace(t.Context(), name, bpftest.UDP("192.0.2.1", 0))
	if !errors.Is(err, tracer.ErrStale) || !strings.Contains(err.Error(), "earlier release") {
		t.Errorf("got %v", err)
	}
}

func TestAReplacedProgramIsFollowed(t *testing.T) {
	h, name, traces := setUp(t)
	h.SetPolicy(name, bpftest.NewPolicy().List(slot, bpftest.ActionDrop, "192.0.0.0/16"))
	frame := bpftest.UDP("192.0.2.1", 0)
	seen := make(map[uint32]bool)
	for range 3 {
		got, err := traces.Trace(t.Context(), name, frame)
		if err != nil || got.Verdict != drop {
			t.Fatalf("got %+v, %v", got, err)
		}
		seen[got.Program.ID] = true
		h.Attach(name, nil)
	}
	if len(seen) != 3 {
		t.Errorf("three programs answered with the ids %v", seen)
	}
	// All gone and made again, with maps of its own.
	h.Detach(name)
	if _, err := traces.Trace(t.Context(), name, frame); !errors.Is(err, dataplane.ErrNotAttached) {
		t.Errorf("after detaching: %v", err)
	}
	h.Attach(name, nil)
	if got, err := traces.Trace(t.Context(), name, frame); err != nil || got.Verdict != pass {
		t.Errorf("with empty maps: %+v, %v", got, err)
	}
}

// otherInstructions returns the object with the verdict of one instruction changed, which no reader of the ELF notices.
func otherInstructions(t *testing.T, content []byte) []byte {
	t.Helper()
	file, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	section := file.Section("xdp")
	changed := bytes.Clone(content)
	code := changed[section.Offset : section.Offset+section.Size]
	for at := 0; at < len(code); at += asm.InstructionSize {
		// An immediate move of 2 into a register.
		if code[at] == 0xb4 && binary.LittleEndian.Uint32(code[at+4:]) == pass {
			code[at+4] = drop
			return changed
		}
	}
	t.Fatal("no instruction to change")
	return nil
}

func TestTheObjectFileIsFollowed(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.Attach(name, nil)
	content, err := os.ReadFile(bpftest.Object(t))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "object.o")
	traces := tracer.New(dataplane.NewRoot(h.Root), object.Open(path))
	defer traces.Close()
	for _, step := range []struct {
		what    string
		content []byte
		want    error
	}{
		{"absent", nil, object.ErrUnusable},
		{"there", content, nil},
		{"damaged", content[:100], object.ErrUnusable},
		{"there again", content, nil},
		{"of other instructions", otherInstructions(t, content), tracer.ErrStale},
		{"there once more", content, nil},
	} {
		if step.content != nil {
			if err := os.WriteFile(path, step.content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := traces.Trace(t.Context(), name, bpftest.UDP("192.0.2.1", 0)); !errors.Is(err, step.want) {
			t.Errorf("object %s: %v", step.what, err)
		}
	}
}

func TestConcurrentTracesKeepTheirAnswersApart(t *testing.T) {
	h, first, traces := setUp(t)
	second := h.AddInterface()
	h.Attach(second, nil)
	h.SetPolicy(first, bpftest.NewPolicy().List(slot, bpftest.ActionDrop, "192.0.0.0/16"))
	h.SetPolicy(second, bpftest.NewPolicy().List(8, bpftest.ActionDrop, "2001:c00::/22"))
	var group sync.WaitGroup
	for worker := range 8 {
		group.Add(1)
		go func() {
			defer group.Done()
			name, source, path := first, "192.0.2.1", "list 7 drop"
			if worker%2 == 1 {
				name, source, path = second, "2001:db8::1", "list 8 drop"
			}
			for i := range 200 {
				if worker == 0 && i%50 == 0 {
					traces.Keep([]string{second})
				}
				got, err := traces.Trace(t.Context(), name, bpftest.UDP(source, worker))
				if err != nil || got.Interface != name || words(got.Path) != path {
					t.Errorf("worker %d: %+v, %v", worker, got, err)
					return
				}
				if got, err = traces.Trace(t.Context(), name, bpftest.UDP("198.51.100.1", worker)); err != nil || words(got.Path) != "default pass" {
					t.Errorf("worker %d: %+v, %v", worker, got, err)
					return
				}
			}
		}()
	}
	group.Wait()
}

func TestTwinsLeakNoDescriptors(t *testing.T) {
	h, name, traces := setUp(t)
	frame := bpftest.UDP("192.0.2.1", 0)
	trace := func(want error) {
		t.Helper()
		if _, err := traces.Trace(t.Context(), name, frame); !errors.Is(err, want) {
			t.Fatalf("got %v, want %v", err, want)
		}
	}
	right, wrong := h.Load(name, nil), h.Load(name, other)
	round := func() {
		h.AttachLoaded(name, wrong)
		trace(tracer.ErrStale)
		h.AttachLoaded(name, right)
		trace(nil)
		traces.Keep(nil)
		trace(nil)
	}
	round()
	before := bpftest.Descriptors(t)
	for range 10 {
		round()
	}
	if after := bpftest.Descriptors(t); after > before {
		t.Errorf("%d descriptors became %d", before, after)
	}
}

func BenchmarkTrace(b *testing.B) {
	h, name, traces := setUp(b)
	h.SetPolicy(name, bpftest.NewPolicy().List(slot, bpftest.ActionDrop, "192.0.0.0/16"))
	frame := bpftest.UDP("192.0.2.1", 0)
	for b.Loop() {
		if got, err := traces.Trace(b.Context(), name, frame); err != nil || got.Verdict != drop {
			b.Fatal(got, err)
		}
	}
}

func BenchmarkLoadTwin(b *testing.B) {
	_, name, traces := setUp(b)
	frame := bpftest.UDP("192.0.2.1", 0)
	for b.Loop() {
		traces.Keep(nil)
		if _, err := traces.Trace(b.Context(), name, frame); err != nil {
			b.Fatal(err)
		}
	}
}
