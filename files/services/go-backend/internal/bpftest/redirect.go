package bpftest

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Redirect is a program that hands each packet to the AF_XDP socket of its queue, and passes it where there is none.
type Redirect struct {
	// Sockets are by queue.
	Sockets *ebpf.Map
	// verdicts counts packets by what the program returned.
	verdicts *ebpf.Map
	t        testing.TB
}

// Verdicts of an XDP program.
const (
	verdictPass     = 2
	verdictRedirect = 4
)

// maxQueues is of the map of sockets.
const maxQueues = 64

// Redirect attaches the program to an interface, for packets of several buffers too.
func (h *Host) Redirect(name string, mode link.XDPAttachFlags) *Redirect {
	h.t.Helper()
	return h.redirect(name, mode, nil)
}

// RedirectTo is Redirect of packets to an IPv4 or an IPv6 address alone; others are passed.
func (h *Host) RedirectTo(name string, v4, v6 netip.Addr) *Redirect {
	h.t.Helper()
	word := func(bytes []byte) int32 { return int32(binary.NativeEndian.Uint32(bytes)) }
	six := v6.As16()
	const ethertype, destination4, destination6, enough = 12, 30, 50, 54
	return h.redirect(name, link.XDPDriverMode, asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 0, asm.Word), // struct xdp_md: data, data_end
		asm.LoadMem(asm.R3, asm.R1, 4, asm.Word),
		asm.Mov.Imm(asm.R0, verdictPass),
		asm.Mov.Reg(asm.R4, asm.R2), asm.Add.Imm(asm.R4, enough),
		asm.JGT.Reg(asm.R4, asm.R3, "count"),
		asm.LoadMem(asm.R3, asm.R2, ethertype, asm.Half), asm.HostTo(asm.BE, asm.R3, asm.Half),
		asm.LoadMem(asm.R4, asm.R2, destination4, asm.Word),
		asm.JNE.Imm(asm.R3, TypeIPv4, "six"),
		asm.JEq.Imm32(asm.R4, word(v4.AsSlice()), "redirect"),
		asm.Ja.Label("count"),
		asm.LoadMem(asm.R4, asm.R2, destination6, asm.Word).WithSymbol("six"), // its last part
		asm.JNE.Imm(asm.R3, TypeIPv6, "count"),
		asm.JNE.Imm32(asm.R4, word(six[12:]), "count"),
	})
}

// redirect attaches the program behind a filter, which jumps to "count" with a verdict in R0 instead.
func (h *Host) redirect(name string, mode link.XDPAttachFlags, filter asm.Instructions) *Redirect {
	h.t.Helper()
	r := &Redirect{t: h.t}
	var err error
	r.Sockets, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: maxQueues})
	h.must(err)
	h.t.Cleanup(func() { r.Sockets.Close() })
	r.verdicts, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 8})
	h.must(err)
	h.t.Cleanup(func() { r.verdicts.Close() })
	const queueIndex = 16 // in struct xdp_md
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "redirect", Type: ebpf.XDP, AttachType: ebpf.AttachXDP, License: "GPL", Flags: unix.BPF_F_XDP_HAS_FRAGS,
		Instructions: append(filter, asm.Instructions{
			asm.LoadMem(asm.R2, asm.R1, queueIndex, asm.Word).WithSymbol("redirect"),
			asm.LoadMapPtr(asm.R1, r.Sockets.FD()),
			asm.Mov.Imm(asm.R3, verdictPass),
			asm.FnRedirectMap.Call(),
			asm.Mov.Reg(asm.R7, asm.R0).WithSymbol("count"),
			asm.StoreMem(asm.R10, -4, asm.R7, asm.Word),
			asm.LoadMapPtr(asm.R1, r.verdicts.FD()),
			asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, -4),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, "out"),
			asm.Mov.Imm(asm.R1, 1),
			asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
			asm.Mov.Reg(asm.R0, asm.R7).WithSymbol("out"), asm.Return(),
		}...),
	})
	h.must(err)
	h.t.Cleanup(func() { program.Close() })
	attached, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: h.link(name).Attrs().Index, Flags: mode})
	h.must(err)
	h.t.Cleanup(func() { attached.Close() })
	return r
}

// Passed is how many packets went on to the network stack.
func (r *Redirect) Passed() uint64 { return r.count(verdictPass) }

// Redirected is how many packets went to a socket, which took or dropped them.
func (r *Redirect) Redirected() uint64 { return r.count(verdictRedirect) }

func (r *Redirect) count(verdict uint32) uint64 {
	r.t.Helper()
	var count uint64
	if err := r.verdicts.Lookup(verdict, &count); err != nil {
		r.t.Fatal(err)
	}
	return count
}

// Wire is what leaves an interface, seen at its other end.
type Wire struct {
	socket int
	t      testing.TB
}

// Wire listens to what leaves an interface from now on.
func (h *Host) Wire(name string) *Wire {
	h.t.Helper()
	const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL<<8&0xff00 // in network order
	socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	h.must(err)
	h.t.Cleanup(func() { unix.Close(socket) })
	h.must(unix.SetsockoptInt(socket, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1))
	h.must(unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20))
	patience := unix.NsecToTimeval(Patience.Nanoseconds())
	h.must(unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience))
	h.must(unix.Bind(socket, &unix.SockaddrLinklayer{Protocol: all, Ifindex: h.link(peer(name)).Attrs().Index}))
	return &Wire{socket: socket, t: h.t}
}

// Next waits for a packet and returns it.
func (w *Wire) Next() []byte {
	w.t.Helper()
	packet := make([]byte, 1<<16)
	n, _, err := unix.Recvfrom(w.socket, packet, 0)
	if err != nil {
		w.t.Fatalf("no packet came: %v", err)
	}
	return packet[:n]
}

// Empty tells whether no packet is there.
func (w *Wire) Empty() bool {
	w.t.Helper()
	_, _, err := unix.Recvfrom(w.socket, make([]byte, 1), unix.MSG_DONTWAIT)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		w.t.Fatal(err)
	}
	return err != nil
}

// SetUp takes an interface up or down.
func (h *Host) SetUp(name string, up bool) {
	h.t.Helper()
	set := netlink.LinkSetDown
	if up {
		set = netlink.LinkSetUp
	}
	h.must(set(h.link(name)))
}

// Threaded lets an interface receive on a thread of its own instead of the sender's.
func (h *Host) Threaded(name string) {
	h.t.Helper()
	h.must(os.WriteFile("/sys/class/net/"+name+"/threaded", []byte("1"), 0))
}

// SumInSoftware takes the NIC's checksum offload away, which of a virtual one is to leave sums as they are.
func (h *Host) SumInSoftware(name string) {
	h.t.Helper()
	value := struct{ command, data uint32 }{unix.ETHTOOL_STXCSUM, 0}
	var request struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	copy(request.name[:], name)
	request.data = unsafe.Pointer(&value)
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	h.must(err)
	defer unix.Close(socket)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(socket), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		h.t.Fatal(errno)
	}
}

// Sender returns a function that lets an interface receive one frame, and allocates nothing.
func (h *Host) Sender(name string) func(frame []byte) {
	h.t.Helper()
	socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	h.must(err)
	h.t.Cleanup(func() { unix.Close(socket) })
	h.must(unix.Bind(socket, &unix.SockaddrLinklayer{Ifindex: h.link(peer(name)).Attrs().Index}))
	return func(frame []byte) {
		_, err := unix.Write(socket, frame)
		for errors.Is(err, unix.ENOBUFS) {
			_, err = unix.Write(socket, frame)
		}
		if err != nil {
			h.must(err)
		}
	}
}
