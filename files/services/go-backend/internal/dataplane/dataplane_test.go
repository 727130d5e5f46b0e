package dataplane_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/object"
)

func TestMain(m *testing.M) { bpftest.Main(m) }

// slot is where the only list of these tests is counted.
const slot = 7

func counterSlot(verdict, reason uint32) uint32 { return verdict*object.ReasonSlots + reason }

// check is what health and readiness ask.
func check(t testing.TB, root dataplane.Root) error {
	t.Helper()
	return dataplane.Take(t.Context(), root, object.Open(bpftest.Object(t))).Err()
}

func TestNoPinsYetIsAHealthyState(t *testing.T) {
	h := bpftest.NewHost(t)
	root := dataplane.NewRoot(h.Root)
	if names, err := root.Interfaces(); err != nil || len(names) != 0 {
		t.Errorf("got %v, %v", names, err)
	}
	if err := check(t, root); err != nil {
		t.Error(err)
	}
	if _, err := root.Interface(t.Context(), "eth0"); !errors.Is(err, dataplane.ErrNotAttached) {
		t.Errorf("got %v", err)
	}
}

func TestRootMustBeThereAndOnABPFFileSystem(t *testing.T) {
	for path, says := range map[string]string{
		t.TempDir():                          "bpf file system",
		filepath.Join(t.TempDir(), "absent"): "make it on the host",
		"/proc/self/exe":                     "bpf file system",
	} {
		root := dataplane.NewRoot(path)
		survey := dataplane.Take(t.Context(), root, object.Open("/nonexistent"))
		if err := survey.Err(); err == nil || !strings.Contains(err.Error(), says) || survey.Listed {
			t.Errorf("%s: got %v, want it to say %q", path, err, says)
		}
		if _, err := root.Interface(t.Context(), "eth0"); !errors.Is(err, dataplane.ErrDamaged) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

func TestRemovedRootIsNoticedThroughAMount(t *testing.T) {
	h := bpftest.NewHost(t)
	view := t.TempDir()
	if err := unix.Mount(h.Root, view, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(view, 0)
	root := dataplane.NewRoot(view)
	if err := check(t, root); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(h.Root); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(h.Root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := check(t, root); err == nil || !strings.Contains(err.Error(), "restart this container") {
		t.Errorf("got %v", err)
	}
}

func TestNamesFromTheNetworkStayInsideTheRoot(t *testing.T) {
	h := bpftest.NewHost(t)
	h.Attach(h.AddInterface(), nil)
	for _, name := range []string{"", ".", "..", "../" + filepath.Base(h.Root), "absent", "a/b"} {
		if _, err := dataplane.NewRoot(h.Root).Interface(t.Context(), name); !errors.Is(err, dataplane.ErrNotAttached) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestInterfaceTellsWhatTheKernelRuns(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	program := h.Attach(name, nil)
	info, err := program.Info()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := info.ID()
	found, err := dataplane.NewRoot(h.Root).Interface(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	want := dataplane.Program{ID: uint32(id), Name: "tripod_xdp", Tag: info.Tag, Mode: "native"}
	if found.Program != want {
		t.Errorf("got %+v, want %+v", found.Program, want)
	}
}

func TestAVLANInterfaceHasItsDotBack(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddVLANInterface()
	h.Attach(name, nil)
	root := dataplane.NewRoot(h.Root)
	names, err := root.Interfaces()
	if err != nil || !reflect.DeepEqual(names, []string{name}) {
		t.Errorf("got %v, %v, want %s", names, err, name)
	}
	if _, err := root.Interface(t.Context(), name); err != nil {
		t.Error(err)
	}
}

func TestGenericModeIsToldApart(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	program := h.Load(name, nil).Programs[object.ProgramName]
	if err := os.Mkdir(h.Pins(name), 0o755); err != nil {
		t.Fatal(err)
	}
	h.AttachProgram(name, program, link.XDPGenericMode)
	h.PinProgram(name, program)
	found, err := dataplane.NewRoot(h.Root).Interface(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if found.Program.Mode != "generic" {
		t.Errorf("mode %s", found.Program.Mode)
	}
}

func TestCountersAreSummedOverCPUs(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.Attach(name, nil)
	m, err := ebpf.LoadPinnedMap(h.Map(name, object.CountersName), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var want []dataplane.Count
	for i, at := range []struct{ verdict, reason uint32 }{{0, 0}, {1, 2}, {2, 0}, {2, 15}, {7, 15}} {
		values := make([]object.Counter, ebpf.MustPossibleCPU())
		sum := dataplane.Count{Verdict: at.verdict, Reason: at.reason}
		for cpu := range values {
			values[cpu] = object.Counter{Packets: uint64(10*i + cpu + 1), Bytes: uint64(1000*i + 7*cpu + 1)}
			sum.Packets += values[cpu].Packets
			sum.Bytes += values[cpu].Bytes
		}
		if err := m.Put(counterSlot(at.verdict, at.reason), values); err != nil {
			t.Fatal(err)
		}
		want = append(want, sum)
	}
	found, err := dataplane.NewRoot(h.Root).Interface(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	got, err := found.Counters()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestReceivedPacketsAreCounted(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.Attach(name, nil)
	h.SetPolicy(name, bpftest.NewPolicy().List(slot, bpftest.ActionDrop, "192.0.0.0/16"))
	drop, pass := bpftest.UDP("192.0.2.1", 100), bpftest.UDP("198.51.100.7", 50)
	h.Send(name, drop, 30)
	h.Send(name, pass, 12)
	found, err := dataplane.NewRoot(h.Root).Interface(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	got, err := found.Counters()
	if err != nil {
		t.Fatal(err)
	}
	want := []dataplane.Count{
		{Verdict: 1, Reason: 2, Counter: object.Counter{Packets: 30, Bytes: uint64(30 * len(drop))}},
		{Verdict: 2, Reason: 0, Counter: object.Counter{Packets: 12, Bytes: uint64(12 * len(pass))}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestWhatPartsHaveMetIsCountedBySlot(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.Attach(name, nil)
	h.SetPolicy(name, bpftest.NewPolicy().List(slot, bpftest.ActionDrop, "192.0.0.0/16").
		ObservedList(4095, bpftest.ActionDrop, "198.51.0.0/16"))
	drop, pass := bpftest.UDP("192.0.2.1", 100), bpftest.UDP("198.51.100.7", 50)
	before := time.Now()
	h.Send(name, drop, 30)
	h.Send(name, pass, 12)
	h.Send(name, bpftest.UDP("203.0.113.1", 0), 5)
	found, err := dataplane.NewRoot(h.Root).Interface(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	hits, err := found.Hits()
	if err != nil {
		t.Fatal(err)
	}
	clock, err := dataplane.NewClock()
	if err != nil {
		t.Fatal(err)
	}
	for i := range hits {
		// A second is what is promised.
		if at := clock.Time(hits[i].Last); at.Before(before.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
			t.Errorf("slot %d was last hit at %s, and it is %s", hits[i].Slot, at, before)
		}
		hits[i].Last = 0
	}
	want := []dataplane.Hit{
		{Slot: slot, Hit: object.Hit{Packets: 30, Bytes: uint64(30 * len(drop))}},
		{Slot: 4095, Hit: object.Hit{ObservedPackets: 12, ObservedBytes: uint64(12 * len(pass))}},
	}
	if !reflect.DeepEqual(hits, want) {
		t.Errorf("got  %+v\nwant %+v", hits, want)
	}
}

func TestAReplacementInProgressIsWaitedFor(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.Attach(name, nil)
	foreign := h.Foreign()
	h.AttachProgram(name, foreign, 0)
	done := make(chan error, 1)
	go func() {
		_, err := dataplane.NewRoot(h.Root).Interface(context.Background(), name)
		done <- err
	}()
	h.PinProgram(name, foreign)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestReplacementsAndInterfacesAreFollowed(t *testing.T) {
	h := bpftest.NewHost(t)
	root := dataplane.NewRoot(h.Root)
	first := h.AddInterface()
	h.Attach(first, nil)
	before, err := root.Interface(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	h.Send(first, bpftest.UDP("192.0.2.1", 0), 5)
	h.Attach(first, nil)
	h.Send(first, bpftest.UDP("192.0.2.1", 0), 4)
	after, err := root.Interface(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	if after.Program.ID == before.Program.ID {
		t.Error("the replacement was not seen")
	}
	if counts, err := after.Counters(); err != nil || len(counts) != 1 || counts[0].Packets != 9 {
		t.Errorf("got %+v, %v, want 9 packets over the replacement", counts, err)
	}

	second := h.AddInterface()
	h.Attach(second, nil)
	if names, err := root.Interfaces(); err != nil || !reflect.DeepEqual(names, []string{first, second}) {
		t.Errorf("got %v, %v", names, err)
	}
	h.Detach(first)
	if names, err := root.Interfaces(); err != nil || !reflect.DeepEqual(names, []string{second}) {
		t.Errorf("got %v, %v", names, err)
	}
}

func TestReadingLeaksNoDescriptors(t *testing.T) {
	h := bpftest.NewHost(t)
	name, gone := h.AddInterface(), h.AddInterface()
	h.Attach(name, nil)
	h.Attach(gone, nil)
	h.RemoveInterface(gone)
	root := dataplane.NewRoot(h.Root)
	read := func() {
		if err := check(t, root); err != nil {
			t.Fatal(err)
		}
	}
	read()
	before := bpftest.Descriptors(t)
	for range 200 {
		read()
	}
	if after := bpftest.Descriptors(t); after > before {
		t.Errorf("%d descriptors became %d", before, after)
	}
}
