package bpftest

import (
	"encoding/binary"
	"fmt"
	"net/netip"
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
)

// Enumerators of the object, written out so that a test notices when they move.
const (
	ActionPass     = 1
	ActionDrop     = 2
	OwnerInventory = 1
	OwnerAPI       = 2
)

var sequence atomic.Uint32

// Host is a pin root and the interfaces that belong to one test.
type Host struct {
	// Root is the pin root.
	Root string
	t    testing.TB
}

// NewHost returns a host without interfaces. It skips or fails the test where the kernel is out of reach.
func NewHost(t testing.TB) *Host {
	t.Helper()
	if missing != nil {
		unavailable(t, missing)
	}
	h := &Host{Root: filepath.Join(bpffs, fmt.Sprintf("root%d", sequence.Add(1))), t: t}
	h.must(os.Mkdir(h.Root, 0o755))
	t.Cleanup(func() { h.must(os.RemoveAll(h.Root)) })
	return h
}

// AddInterface makes a veth pair, both ends up and silent, and returns the near end's name.
func (h *Host) AddInterface() string {
	h.t.Helper()
	name := fmt.Sprintf("tv%d", sequence.Add(1))
	h.addInterface(name)
	return name
}

// AddVLANInterface is AddInterface with a name as VLAN devices have, with a dot.
func (h *Host) AddVLANInterface() string {
	h.t.Helper()
	name := fmt.Sprintf("tv%d.7", sequence.Add(1))
	h.addInterface(name)
	return name
}

func (h *Host) addInterface(name string) {
	h.t.Helper()
	h.must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: peer(name)}))
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
		h.must(netlink.LinkDel(found))
	}
}

// Load loads the object as the host does: not tracing, and with the maps that the interface has pinned already.
// Change, where given, edits the collection first.
func (h *Host) Load(name string, change func(*ebpf.CollectionSpec)) *ebpf.Collection {
	h.t.Helper()
	spec, err := ebpf.LoadCollectionSpec(Object(h.t))
	h.must(err)
	if change != nil {
		change(spec)
	}
	pinned := make(map[string]*ebpf.Map)
	for key := range spec.Maps {
		if m, err := ebpf.LoadPinnedMap(h.Map(name, key), nil); err == nil {
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
		path := h.Map(name, key)
		if _, err := os.Stat(path); err != nil && key[0] != '.' {
			h.must(m.Pin(path))
		}
	}
	program := collection.Programs["tripod_xdp"]
	h.AttachProgram(name, program, link.XDPDriverMode)
	h.PinProgram(name, program)
	return program
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
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
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

// Pins returns the directory of an interface's pins, which cannot have a dot in its name.
func (h *Host) Pins(name string) string {
	return filepath.Join(h.Root, strings.ReplaceAll(name, ".", ":"))
}

// Map returns the path of a map's pin.
func (h *Host) Map(name, key string) string {
	return filepath.Join(h.Pins(name), "maps", key)
}

// Rule puts an entry into an interface's access list.
func (h *Host) Rule(name, prefix string, action, owner uint8) {
	h.t.Helper()
	parsed := netip.MustParsePrefix(prefix)
	trie := "acl_v4"
	if parsed.Addr().Is6() {
		trie = "acl_v6"
	}
	m, err := ebpf.LoadPinnedMap(h.Map(name, trie), nil)
	h.must(err)
	defer m.Close()
	key := binary.NativeEndian.AppendUint32(nil, uint32(parsed.Bits()))
	key = append(key, parsed.Addr().AsSlice()...)
	h.must(m.Put(key, []byte{action, owner, uint8(parsed.Bits()), 0}))
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
