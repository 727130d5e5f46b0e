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

func TestTrace(t *testing.T) {
	h, name, traces := setUp(t)
	h.Rule(name, "10.0.0.0/8", bpftest.ActionDrop, bpftest.OwnerInventory)
	h.Rule(name, "10.1.0.0/16", bpftest.ActionPass, bpftest.OwnerAPI)
	h.Rule(name, "10.1.2.3/32", bpftest.ActionDrop, bpftest.OwnerAPI)
	h.Rule(name, "2001:db8::/32", bpftest.ActionDrop, bpftest.OwnerInventory)
	h.Rule(name, "2001:db8:1::/48", bpftest.ActionPass, bpftest.OwnerInventory)
	none := ""
	for _, test := range []struct {
		what    string
		frame   []byte
		verdict uint32
		reason  string
		rule    string
	}{
		{"IPv4 without a rule", bpftest.UDP("192.0.2.1", 0), pass, "no_rule", none},
		{"IPv4 drop", bpftest.UDP("10.200.0.1", 0), drop, "acl_drop", "10.0.0.0/8 drop inventory"},
		{"IPv4 longer prefix passes", bpftest.UDP("10.1.2.4", 0), pass, "acl_pass", "10.1.0.0/16 pass api"},
		{"IPv4 longest prefix drops", bpftest.UDP("10.1.2.3", 0), drop, "acl_drop", "10.1.2.3/32 drop api"},
		{"IPv6 without a rule", bpftest.UDP("2001:db9::1", 0), pass, "no_rule", none},
		{"IPv6 drop", bpftest.UDP("2001:db8:2::1", 0), drop, "acl_drop", "2001:db8::/32 drop inventory"},
		{"IPv6 longer prefix passes", bpftest.UDP("2001:db8:1::1", 0), pass, "acl_pass", "2001:db8:1::/48 pass inventory"},
		{"VLAN", bpftest.Tag(bpftest.UDP("10.2.0.1", 0), bpftest.TypeVLAN, 7), drop, "acl_drop", "10.0.0.0/8 drop inventory"},
		{"two VLANs", bpftest.Tag(bpftest.Tag(bpftest.UDP("2001:db8::1", 0), bpftest.TypeVLAN, 7), bpftest.TypeQinQ, 8),
			drop, "acl_drop", "2001:db8::/32 drop inventory"},
		{"ARP", bpftest.Ethernet(bpftest.TypeARP, make([]byte, 28)), pass, "not_ip", none},
		{"bare Ethernet header", bpftest.Ethernet(bpftest.TypeARP, nil), pass, "not_ip", none},
		{"IPv4 cut in its header", cut(bpftest.UDP("10.2.0.1", 0), 30), pass, "malformed", none},
		{"IPv4 of a dropped source, cut behind it", cut(bpftest.UDP("10.2.0.1", 64), 40), drop, "acl_drop",
			"10.0.0.0/8 drop inventory"},
		{"IPv4 of a passed source, cut behind it", cut(bpftest.UDP("10.1.0.1", 64), 40), pass, "malformed", none},
		{"IPv4 header and nothing more", bpftest.Ethernet(bpftest.TypeIPv4, nil), pass, "malformed", none},
	} {
		t.Run(test.what, func(t *testing.T) {
			got, err := traces.Trace(t.Context(), name, test.frame)
			if err != nil {
				t.Fatal(err)
			}
			rule := none
			if got.Rule != nil {
				rule = fmt.Sprint(got.Rule.Prefix, " ", got.Rule.Action, " ", got.Rule.Owner)
			}
			if got.Verdict != test.verdict || got.Reason != test.reason || rule != test.rule {
				t.Errorf("got %d %s %q, want %d %s %q", got.Verdict, got.Reason, rule, test.verdict, test.reason, test.rule)
			}
			if got.Interface != name || got.Program.Name != object.ProgramName || got.Program.Mode != "native" {
				t.Errorf("answered for %+v", got)
			}
		})
	}
}

func TestATraceTellsWhatHappensToThePacketItself(t *testing.T) {
	h, name, traces := setUp(t)
	h.Rule(name, "192.0.2.0/25", bpftest.ActionDrop, bpftest.OwnerInventory)
	for i, frame := range [][]byte{
		bpftest.UDP("192.0.2.127", 9), bpftest.UDP("192.0.2.128", 9), bpftest.Ethernet(bpftest.TypeARP, make([]byte, 28)),
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
	h.Rule(name, "192.0.2.0/24", bpftest.ActionDrop, bpftest.OwnerInventory)
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
		h.Rule(name, "203.0.113.0/24", bpftest.ActionDrop, bpftest.OwnerAPI)
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
	h.Attach(name, func(spec *ebpf.CollectionSpec) { spec.Maps["acl_v4"].MaxEntries = 10 })
	traces := tracer.New(dataplane.NewRoot(h.Root), object.Open(bpftest.Object(t)))
	defer traces.Close()
	if _, err := traces.Trace(t.Context(), name, bpftest.UDP("192.0.2.1", 0)); !errors.Is(err, tracer.ErrStale) {
		t.Errorf("got %v", err)
	}
}

func TestAReplacedProgramIsFollowed(t *testing.T) {
	h, name, traces := setUp(t)
	h.Rule(name, "192.0.2.0/24", bpftest.ActionDrop, bpftest.OwnerInventory)
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
	h.Rule(first, "192.0.2.0/24", bpftest.ActionDrop, bpftest.OwnerInventory)
	h.Rule(second, "2001:db8::/32", bpftest.ActionDrop, bpftest.OwnerAPI)
	var group sync.WaitGroup
	for worker := range 8 {
		group.Add(1)
		go func() {
			defer group.Done()
			name, source, prefix := first, "192.0.2.1", "192.0.2.0/24"
			if worker%2 == 1 {
				name, source, prefix = second, "2001:db8::1", "2001:db8::/32"
			}
			for i := range 200 {
				if worker == 0 && i%50 == 0 {
					traces.Keep([]string{second})
				}
				got, err := traces.Trace(t.Context(), name, bpftest.UDP(source, worker))
				if err != nil || got.Interface != name || got.Rule == nil || got.Rule.Prefix.String() != prefix {
					t.Errorf("worker %d: %+v, %v", worker, got, err)
					return
				}
				if got, err = traces.Trace(t.Context(), name, bpftest.UDP("198.51.100.1", worker)); err != nil || got.Rule != nil {
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
	right, wrong := h.Load(name, nil).Programs[object.ProgramName], h.Load(name, other).Programs[object.ProgramName]
	round := func() {
		h.AttachProgram(name, wrong, 0)
		h.PinProgram(name, wrong)
		trace(tracer.ErrStale)
		h.AttachProgram(name, right, 0)
		h.PinProgram(name, right)
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
	h.Rule(name, "192.0.2.0/24", bpftest.ActionDrop, bpftest.OwnerInventory)
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
