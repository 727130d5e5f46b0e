package balance

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync/atomic"

	"tripod/go-backend/internal/ip"
	"tripod/go-backend/internal/worker"
)

// handler is a Balancer's for one worker.
type handler struct {
	balancer *Balancer
	errors   *ip.Errors
	// batch counts packets by backend, and packets all that there were; the first is of the batch in hand.
	batch   []uint32
	packets []atomic.Uint64
}

// The reasons, in the order of Reasons.
const (
	reasonMalformed = iota
	reasonNotOurs
	reasonUnsupported
	reasonChecksum
	reasonFragment
	reasonTooBig
	reasonNoBackend
	reasonNoRoom
)

// Name is the handler's in the inventory and in metrics.
func (*handler) Name() string { return "balance" }

// Reasons are why a packet is dropped.
func (*handler) Reasons() []string {
	return []string{"malformed", "not_ours", "unsupported", "checksum", "fragment", "too_big", "no_backend", "no_room"}
}

// Handle sends packets to backends.
func (h *handler) Handle(packets []worker.Packet) {
	routes := h.balancer.routes.Load()
	for i := range packets {
		packets[i].Verdict = h.send(routes, &packets[i])
	}
	for backend, n := range h.batch {
		if n > 0 {
			h.packets[backend].Add(uint64(n))
			h.batch[backend] = 0
		}
	}
}

func (h *handler) send(routes *routes, packet *worker.Packet) worker.Verdict {
	frame := packet.Data
	if len(frame) < ip.EthernetHeader {
		return worker.Drop(reasonMalformed)
	}
	if ethertype := binary.BigEndian.Uint16(frame[12:]); ethertype != ip.TypeIPv4 && ethertype != ip.TypeIPv6 {
		return worker.Drop(reasonUnsupported)
	}
	header, ok := ip.Parse(frame[ip.EthernetHeader:], packet.Length()-ip.EthernetHeader)
	switch {
	case !ok || header.V6 != (frame[12] == ip.TypeIPv6>>8):
		return worker.Drop(reasonMalformed)
	case frame[0]&1 != 0 || !h.balancer.has(&header):
		return worker.Drop(reasonNotOurs)
	case !header.ChecksumHolds():
		return worker.Drop(reasonChecksum)
	}
	hash, whole := flowOf(&header, frame[ip.EthernetHeader:])
	if !whole {
		if header.Fragmented {
			return worker.Drop(reasonFragment)
		}
		return worker.Drop(reasonMalformed)
	}
	owner := routes.table[hash%slots]
	if owner == none {
		return worker.Drop(reasonNoBackend)
	}
	tunnel := &routes.tunnels[owner]
	if tunnel.v6 && tunnel.gue && packet.Buffers() > 1 {
		// Its checksum would be of several buffers.
		return worker.Drop(reasonUnsupported)
	}
	if room := h.balancer.nic.MTU - tunnel.overhead(); header.Length > room {
		if h.errors.TooBig(packet, &header, room) {
			return worker.Send
		}
		return worker.Drop(reasonTooBig)
	}
	if !tunnel.enter(packet, &header, hash, h.balancer.nic.MAC) {
		return worker.Drop(reasonNoRoom)
	}
	h.batch[owner]++
	return worker.Send
}

// addresses are by family, few enough to look through.
type addresses struct {
	v4 [][4]byte
	v6 [][16]byte
}

func newAddresses(all []netip.Addr) (a addresses) {
	for _, address := range all {
		if address.Is4() {
			a.v4 = append(a.v4, address.As4())
		} else {
			a.v6 = append(a.v6, address.As16())
		}
	}
	return a
}

// has tells whether a packet is to an address that is balanced.
func (a *addresses) has(header *ip.Header) bool {
	if header.V6 {
		return slices.Contains(a.v6, [16]byte(header.Destination))
	}
	return slices.Contains(a.v4, [4]byte(header.Destination))
}
