package bpftest

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/object"
)

var sequence atomic.Uint32

// Host is a pin root and the interfaces that belong to one test.
type Host struct {
	// Root is the pin root.
	Root string
	// Program is which of the object's programs is loaded.
	Program string
	t       testing.TB
}

// NewHost returns a host without interfaces. It skips or fails the test where the kernel is out of reach.
func NewHost(t testing.TB) *Host {
	t.Helper()
	if missing != nil {
		Unavailable(t, missing)
	}
	h := &Host{Root: filepath.Join(bpffs, fmt.Sprintf("root%d", sequence.Add(1))), Program: "tripod_xdp", t: t}
	h.must(os.Mkdir(h.Root, 0o755))
	t.Cleanup(func() { h.must(os.RemoveAll(h.Root)) })
	return h
}

// AddInterface makes a veth pair, both ends up and silent, and returns the near end's name.
func (h *Host) AddInterface() string {
	h.t.Helper()
	return h.AddNIC(1, 1500)
}

// AddNIC is AddInterface with so many queues at both ends, and an MTU.
func (h *Host) AddNIC(queues, mtu int) string {
	h.t.Helper()
	name := fmt.Sprintf("tv%d", sequence.Add(1))
	h.addInterface(name, queues, mtu)
	return name
}

// AddVLANInterface is AddInterface with a name as VLAN devices have, with a dot.
func (h *Host) AddVLANInterface() string {
	h.t.Helper()
	name := fmt.Sprintf("tv%d.7", sequence.Add(1))
	h.addInterface(name, 1, 1500)
	return name
}

func (h *Host) addInterface(name string, queues, mtu int) {
	h.t.Helper()
	h.must(netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name, MTU: mtu, NumRxQueues: queues, NumTxQueues: queues},
		PeerName:  peer(name), PeerMTU: uint32(mtu),
		PeerNumRxQueues: uint32(queues), PeerNumTxQueues: uint32(queues),
	}))
	h.t.Cleanup(func() { h.RemoveInterface(name) })
	for _, end := range []string{name, peer(name)} {
		// Neighbour discovery would be counted among the test's own packets.
		h.must(os.WriteFile("/proc/sys/net/ipv6/conf/"+end+"/disable_ipv6", []byte("1"), 0))
		h.must(netlink.LinkSetUp(h.link(end)))
	}
}

// RemoveInterface unplugs an interface; its pins stay.
func (h *Host) RemoveInterface(name string) {
	h.t.Helper()
	if found, err := netlink.LinkByName(name); err == nil {
		// With the namespace of its far end it goes of itself, in the kernel's own time.
		if err := netlink.LinkDel(found); !errors.Is(err, unix.ENODEV) {
			h.must(err)
		}
	}
}

// Load loads the program of the object as the host does: not tracing, with the maps that the interface has pinned already, and
// fit for the policies of NewPolicy. Change, where given, edits the collection first.
func (h *Host) Load(name string, change func(*ebpf.CollectionSpec)) *ebpf.Collection {
	h.t.Helper()
	spec, err := ebpf.LoadCollectionSpec(Object(h.t))
	h.must(err)
	maps.DeleteFunc(spec.Programs, func(other string, _ *ebpf.ProgramSpec) bool { return other != h.Program })
	spec.Programs[h.Program].Instructions = object.Link(spec.Programs[h.Program].Instructions)
	fit(spec)
	if change != nil {
		change(spec)
	}
	pinned := make(map[string]*ebpf.Map)
	for key := range spec.Maps {
		if m, err := ebpf.LoadPinnedMap(h.Map(name, object.Pin(key)), nil); err == nil {
			pinned[key] = m
		}
	}
	collection, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: pinned})
	h.must(err)
	for _, m := range pinned {
		h.must(m.Close())
	}
	h.t.Cleanup(collection.Close)
	return collection
}

// Attach loads the object and attaches it natively with all pins, or replaces what is attached. It returns the program.
func (h *Host) Attach(name string, change func(*ebpf.CollectionSpec)) *ebpf.Program {
	h.t.Helper()
	return h.AttachLoaded(name, h.Load(name, change))
}

// AttachLoaded is Attach for what is loaded already.
func (h *Host) AttachLoaded(name string, collection *ebpf.Collection) *ebpf.Program {
	h.t.Helper()
	h.must(os.MkdirAll(filepath.Join(h.Pins(name), "maps"), 0o755))
	for key, m := range collection.Maps {
		path := h.Map(name, object.Pin(key))
		// The constants are each program's own.
		if key == object.ConstantsName {
			_ = os.Remove(path)
		}
		if _, err := os.Stat(path); err != nil {
			clone, err := m.Clone()
			h.must(err)
			h.must(clone.Pin(path))
			h.must(clone.Close())
		}
	}
	program := collection.Programs[h.Program]
	h.AttachProgram(name, program, link.XDPDriverMode)
	h.PinProgram(name, program)
	return program
}

// HandOn attaches what comes in front of a program that judges, where somebody else's program does before it.
func (h *Host) HandOn(name string, judge *ebpf.Program) {
	h.t.Helper()
	former := h.Program
	h.Program = object.EntryName
	collection := h.Load(name, nil)
	h.Program = former
	array := collection.Maps[object.ExtensionsName]
	h.must(array.Put(uint32(1), judge))
	entry := collection.Programs[object.EntryName]
	h.AttachProgram(name, entry, link.XDPDriverMode)
	h.PinProgram(name, entry)
	clone, err := judge.Clone()
	h.must(err)
	h.must(clone.Pin(filepath.Join(h.Pins(name), "judge")))
	h.must(clone.Close())
}

// AttachProgram makes an interface run a program, atomically where it runs one already, and leaves the program pin alone.
func (h *Host) AttachProgram(name string, program *ebpf.Program, mode link.XDPAttachFlags) {
	h.t.Helper()
	path := filepath.Join(h.Pins(name), "link")
	if old, err := link.LoadPinnedLink(path, nil); err == nil {
		h.must(old.Update(program))
		h.must(old.Close())
		return
	}
	attached, err := link.AttachXDP(link.XDPOptions{
		Program: program, Interface: h.link(name).Attrs().Index, Flags: mode,
	})
	h.must(err)
	h.must(attached.Pin(path))
	h.must(attached.Close())
}

// PinProgram makes the program pin of an interface point at a program.
func (h *Host) PinProgram(name string, program *ebpf.Program) {
	h.t.Helper()
	path := filepath.Join(h.Pins(name), "prog")
	_ = os.Remove(path)
	clone, err := program.Clone()
	h.must(err)
	h.must(clone.Pin(path))
	h.must(clone.Close())
}

// Detach removes the program and all pins of an interface.
func (h *Host) Detach(name string) {
	h.t.Helper()
	h.DropLink(name)
	h.must(os.RemoveAll(h.Pins(name)))
}

// DropLink removes the link's pin, and with its last reference what it attached; the other pins stay.
func (h *Host) DropLink(name string) {
	h.t.Helper()
	h.must(os.Remove(filepath.Join(h.Pins(name), "link")))
	h.waitDetached(name)
}

// waitDetached waits for the kernel, which lets go of an unreferenced link in its own time.
func (h *Host) waitDetached(name string) {
	h.t.Helper()
	for deadline := time.Now().Add(Patience); ; time.Sleep(5 * time.Millisecond) {
		if xdp := h.link(name).Attrs().Xdp; xdp == nil || !xdp.Attached {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("the program on %s did not go away", name)
		}
	}
}

// Foreign returns a program that is not ours.
func (h *Host) Foreign() *ebpf.Program {
	h.t.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "foreign", Type: ebpf.XDP, AttachType: ebpf.AttachXDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	})
	h.must(err)
	h.t.Cleanup(func() { program.Close() })
	return program
}

// AttachEarlier attaches a program with the maps of release 1.0.0, which drops everything and counts it as that release did.
func (h *Host) AttachEarlier(name string) {
	h.t.Helper()
	collection := &ebpf.Collection{Maps: make(map[string]*ebpf.Map), Programs: make(map[string]*ebpf.Program)}
	instructions := asm.Instructions{}
	for key, spec := range map[string]*ebpf.MapSpec{
		"acl_v4":   {Type: ebpf.LPMTrie, KeySize: 8, ValueSize: 4, MaxEntries: 131072, Flags: unix.BPF_F_NO_PREALLOC},
		"acl_v6":   {Type: ebpf.LPMTrie, KeySize: 20, ValueSize: 4, MaxEntries: 131072, Flags: unix.BPF_F_NO_PREALLOC},
		"counters": {Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 16, MaxEntries: 128},
		"trace":    {Type: ebpf.Array, KeySize: 4, ValueSize: 48, MaxEntries: 1},
	} {
		m, err := ebpf.NewMap(spec)
		h.must(err)
		h.t.Cleanup(func() { m.Close() })
		collection.Maps[key] = m
		// The program has what it names, whether or not it looks into it.
		instructions = append(instructions, asm.LoadMapPtr(asm.R1, m.FD()))
	}
	// Verdict 1, drop, for reason 2.
	instructions = append(instructions,
		asm.StoreImm(asm.R10, -4, 1*16+2, asm.Word),
		asm.LoadMapPtr(asm.R1, collection.Maps["counters"].FD()),
		asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "out"),
		asm.Mov.Imm(asm.R1, 1),
		asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, 1).WithSymbol("out"), asm.Return())
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "tripod_xdp", Type: ebpf.XDP, AttachType: ebpf.AttachXDP, License: "GPL", Instructions: instructions,
	})
	h.must(err)
	h.t.Cleanup(func() { program.Close() })
	collection.Programs["tripod_xdp"] = program
	h.AttachLoaded(name, collection)
}

// Pins returns the directory of an interface's pins, which cannot have a dot in its name.
func (h *Host) Pins(name string) string {
	return filepath.Join(h.Root, strings.ReplaceAll(name, ".", ":"))
}

// Map returns the path of a map's pin.
func (h *Host) Map(name, key string) string {
	return filepath.Join(h.Pins(name), "maps", key)
}

// Send lets an interface receive a frame n times.
func (h *Host) Send(name string, frame []byte, n int) {
	h.t.Helper()
	socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	h.must(err)
	defer unix.Close(socket)
	to := &unix.SockaddrLinklayer{Ifindex: h.link(peer(name)).Attrs().Index}
	for range n {
		h.must(unix.Sendto(socket, frame, 0, to))
	}
}

func (h *Host) link(name string) netlink.Link {
	h.t.Helper()
	found, err := netlink.LinkByName(name)
	h.must(err)
	return found
}

func (h *Host) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// Peer is the name of an interface's far end.
func (*Host) Peer(name string) string { return peer(name) }

func peer(name string) string {
	return name + "p"
}

// Descriptors counts this process's open descriptors.
func Descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
