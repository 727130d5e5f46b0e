package handlers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"tripod/go-backend/internal/ip"
	"tripod/go-backend/internal/worker"
)

// Forward is a router between a worker's NIC and its peer, with one next hop on either side: it changes the Ethernet
// addresses, takes one off the TTL, and says by ICMP which packets cannot go on. It does not fragment.
type Forward struct {
	ports [2]ForwardPort
	// errors are about packets that came by a port, to that side.
	errors [2]*ip.Errors
}

// ForwardConfig says where packets go.
type ForwardConfig struct {
	// Ports are the worker's NIC and its peer.
	Ports [2]ForwardPort
	// ErrorsPerSecond is how many ICMP messages a worker sends at most, to either side; 0 is none.
	ErrorsPerSecond int
}

// ForwardPort is one side of a Forward.
type ForwardPort struct {
	// MAC is the NIC's, to which packets come.
	MAC [6]byte
	// NextHop is the station that packets which leave by this NIC are sent to.
	NextHop [6]byte
	// MTU is how long they may be, in bytes from the IP header on.
	MTU int
	// V4 and V6 are what ICMP messages to this side come from; without one there are none of its family.
	V4, V6 netip.Addr
}

// The reasons, in the order of Reasons.
const (
	forwardMalformed = iota
	forwardNotOurs
	forwardUnsupported
	forwardChecksum
	forwardAddress
	forwardTTL
	forwardTooBig
)

// maxErrors is the limit of ErrorsPerSecond.
const maxErrors = 100_000

// NewForward returns a forwarder, for one worker.
func NewForward(config ForwardConfig) (*Forward, error) {
	var faults []error
	if config.ErrorsPerSecond < 0 || config.ErrorsPerSecond > maxErrors {
		faults = append(faults, fmt.Errorf("forward: %d ICMP errors a second: 0 to %d are possible", config.ErrorsPerSecond, maxErrors))
	}
	f := &Forward{ports: config.Ports}
	for i, port := range config.Ports {
		side := [...]string{"the NIC's side", "the peer's side"}[i]
		for _, fault := range port.check() {
			faults = append(faults, fmt.Errorf("forward: %s: %w", side, fault))
		}
		f.errors[i] = ip.NewErrors(port.V4, port.V6, config.ErrorsPerSecond)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return f, nil
}

func (p ForwardPort) check() []error {
	var faults []error
	for _, station := range []struct {
		name string
		mac  [6]byte
	}{{"MAC", p.MAC}, {"next hop", p.NextHop}} {
		if station.mac == [6]byte{} || station.mac[0]&1 != 0 {
			faults = append(faults, fmt.Errorf("%s %s is not one station's", station.name, net.HardwareAddr(station.mac[:])))
		}
	}
	if p.MAC == p.NextHop {
		faults = append(faults, errors.New("the next hop is the NIC itself"))
	}
	if p.MTU < 68 || p.MTU > 65535 {
		faults = append(faults, fmt.Errorf("MTU %d: 68 to 65535 bytes are possible", p.MTU))
	}
	for _, source := range []struct {
		family  string
		address netip.Addr
		right   bool
	}{{"IPv4", p.V4, p.V4.Unmap().Is4()}, {"IPv6", p.V6, p.V6.Is6() && !p.V6.Is4In6()}} {
		if !source.address.IsValid() {
			continue
		}
		if why := ip.Unicast(source.address); why != "" || !source.right {
			faults = append(faults, fmt.Errorf("%s address %s of ICMP errors: a host's address of the family is needed",
				source.family, source.address))
		}
	}
	return faults
}

// Name is the handler's in the inventory and in metrics.
func (*Forward) Name() string { return "forward" }

// Reasons are why a packet is dropped.
func (*Forward) Reasons() []string {
	return []string{"malformed", "not_ours", "unsupported", "checksum", "address", "ttl", "too_big"}
}

// Handle sends packets on.
func (f *Forward) Handle(packets []worker.Packet) {
	for i := range packets {
		packets[i].Verdict = f.forward(&packets[i])
	}
}

func (f *Forward) forward(packet *worker.Packet) worker.Verdict {
	frame := packet.Data
	if len(frame) < ip.EthernetHeader {
		return worker.Drop(forwardMalformed)
	}
	if [6]byte(frame) != f.ports[packet.Port].MAC {
		return worker.Drop(forwardNotOurs)
	}
	if ethertype := binary.BigEndian.Uint16(frame[12:]); ethertype != ip.TypeIPv4 && ethertype != ip.TypeIPv6 {
		return worker.Drop(forwardUnsupported)
	}
	header, ok := ip.Parse(frame[ip.EthernetHeader:], packet.Length()-ip.EthernetHeader)
	if !ok || header.V6 != (frame[12] == ip.TypeIPv6>>8) {
		return worker.Drop(forwardMalformed)
	}
	if !header.ChecksumHolds() {
		return worker.Drop(forwardChecksum)
	}
	if !header.Routable() {
		return worker.Drop(forwardAddress)
	}
	if header.TTL <= 1 {
		return sentOr(f.errors[packet.Port].TimeExceeded(packet, &header), forwardTTL)
	}
	next := &f.ports[1-packet.Port]
	if header.Length > next.MTU {
		return sentOr(f.errors[packet.Port].TooBig(packet, &header, next.MTU), forwardTooBig)
	}
	header.Decrement()
	copy(frame, next.NextHop[:])
	copy(frame[6:], next.MAC[:])
	return worker.Forward
}

// sentOr is the verdict for a packet that was made a message, or was not.
func sentOr(made bool, reason int) worker.Verdict {
	if made {
		return worker.Send
	}
	return worker.Drop(reason)
}
