package handlers

import (
	"encoding/binary"
	"net/netip"

	"tripod/go-backend/internal/checksum"
	"tripod/go-backend/internal/worker"
)

// Echo answers for addresses of its own: UDP datagrams with themselves (RFC 862, on every port), pings, and who asks for
// their MAC address by ARP or neighbour discovery.
type Echo struct {
	mac [6]byte
	v4  map[[4]byte]bool
	v6  map[[16]byte]bool
}

// The reasons, in the order of Reasons.
const (
	echoMalformed = iota
	echoNotOurs
	echoUnsupported
	echoFragment
	echoSource
	echoChecksum
)

// NewEcho returns an echo at a NIC's MAC address. IPv6 addresses within ::ffff:0:0/96 are IPv4 ones.
func NewEcho(mac [6]byte, addresses []netip.Addr) *Echo {
	e := &Echo{mac: mac, v4: make(map[[4]byte]bool), v6: make(map[[16]byte]bool)}
	for _, address := range addresses {
		if address = address.Unmap(); address.Is4() {
			e.v4[address.As4()] = true
		} else {
			e.v6[address.As16()] = true
		}
	}
	return e
}

// Name is the handler's in the inventory and in metrics.
func (*Echo) Name() string { return "echo" }

// Reasons are why a packet is dropped.
func (*Echo) Reasons() []string {
	return []string{"malformed", "not_ours", "unsupported", "fragment", "source", "checksum"}
}

// Handle makes answers of packets.
func (e *Echo) Handle(packets []worker.Packet) {
	for i := range packets {
		packets[i].Verdict = e.answer(&packets[i])
	}
}

// Ethernet.
const (
	ethernetHeader = 14
	typeIPv4       = 0x0800
	typeARP        = 0x0806
	typeIPv6       = 0x86dd
)

// Protocols.
const (
	protocolICMP   = 1
	protocolUDP    = 17
	protocolICMPv6 = 58
)

// answerTTL is of answers.
const answerTTL = 64

func (e *Echo) answer(packet *worker.Packet) worker.Verdict {
	frame := packet.Data
	if len(frame) < ethernetHeader {
		return worker.Drop(echoMalformed)
	}
	ours, payload := [6]byte(frame) == e.mac, frame[ethernetHeader:]
	if !ours && frame[0]&1 == 0 {
		return worker.Drop(echoNotOurs)
	}
	if frame[6]&1 != 0 {
		return worker.Drop(echoSource)
	}
	verdict := worker.Drop(echoUnsupported)
	switch binary.BigEndian.Uint16(frame[12:]) {
	case typeARP:
		verdict = e.arp(packet, payload)
	case typeIPv4:
		verdict = e.ipv4(packet, ours)
	case typeIPv6:
		verdict = e.ipv6(packet, ours)
	}
	if verdict == worker.Send {
		copy(frame, frame[6:12])
		copy(frame[6:], e.mac[:])
	}
	return verdict
}

// arp answers a request (RFC 826).
func (e *Echo) arp(whole *worker.Packet, packet []byte) worker.Verdict {
	if len(packet) < 28 {
		return worker.Drop(echoMalformed)
	}
	if whole.Buffers() > 1 {
		return worker.Drop(echoUnsupported)
	}
	// Ethernet and IPv4, of 6 and 4 bytes, and a request.
	if binary.BigEndian.Uint64(packet) != 0x0001_0800_06_04_0001 {
		return worker.Drop(echoUnsupported)
	}
	sender, target := packet[8:18], packet[18:28]
	if !e.v4[[4]byte(target[6:])] {
		return worker.Drop(echoNotOurs)
	}
	address := [4]byte(target[6:])
	packet[7] = 2
	copy(target, sender)
	copy(sender, e.mac[:])
	copy(sender[6:], address[:])
	return worker.Send
}

func (e *Echo) ipv4(whole *worker.Packet, ours bool) worker.Verdict {
	packet := whole.Data[ethernetHeader:]
	if len(packet) < 20 || packet[0]>>4 != 4 {
		return worker.Drop(echoMalformed)
	}
	header, total := int(packet[0]&15)*4, int(binary.BigEndian.Uint16(packet[2:]))
	if header < 20 || total < header {
		return worker.Drop(echoMalformed)
	}
	body, fits := carried(whole, ethernetHeader+header, total-header)
	if !fits {
		return worker.Drop(echoMalformed)
	}
	source, destination := packet[12:16], packet[16:20]
	switch {
	case !ours || !e.v4[[4]byte(destination)]:
		return worker.Drop(echoNotOurs)
	case checksum.Fold(checksum.Sum(packet[:header])) != 0xffff:
		return worker.Drop(echoChecksum)
	case binary.BigEndian.Uint16(packet[6:])&0x3fff != 0:
		return worker.Drop(echoFragment)
	case source[0] == 0 || source[0] == 127 || source[0] >= 224 || e.v4[[4]byte(source)]:
		return worker.Drop(echoSource)
	}
	verdict := worker.Drop(echoUnsupported)
	switch packet[9] {
	case protocolICMP:
		verdict = ping(body, 0, 8, 0)
	case protocolUDP:
		verdict = datagram(body, checksum.Sum(packet[12:20]))
	}
	if verdict == worker.Send {
		swap(source, destination)
		packet[8] = answerTTL
		packet[10], packet[11] = 0, 0
		checksum.Put(packet[10:], checksum.Sum(packet[:header]))
	}
	return verdict
}

// ping makes a reply of an echo request. The pseudo-header's sum is 0 for ICMP, which has none.
func ping(message body, pseudo uint64, request, reply byte) worker.Verdict {
	head := message.head
	if len(head) < 8 {
		return worker.Drop(echoMalformed)
	}
	if head[0] != request || head[1] != 0 {
		return worker.Drop(echoUnsupported)
	}
	if checksum.Fold(pseudo+message.sum()) != 0xffff {
		return worker.Drop(echoChecksum)
	}
	head[0], head[2], head[3] = reply, 0, 0
	checksum.Put(head[2:], pseudo+message.sum())
	return worker.Send
}

// datagram exchanges the ports, which leaves the checksum as it is, given the sum of the addresses.
func datagram(body body, addresses uint64) worker.Verdict {
	datagram := body.head
	if len(datagram) < 8 {
		return worker.Drop(echoMalformed)
	}
	length := int(binary.BigEndian.Uint16(datagram[4:]))
	if length < 8 || length > body.length {
		return worker.Drop(echoMalformed)
	}
	if binary.BigEndian.Uint16(datagram) == binary.BigEndian.Uint16(datagram[2:]) {
		// Two echoes that were set on each other would never stop.
		return worker.Drop(echoSource)
	}
	if stored := binary.BigEndian.Uint16(datagram[6:]); stored != 0 {
		pseudo, sum := addresses+protocolUDP+uint64(length), body.cut(length).sum()
		switch {
		case checksum.Fold(pseudo+sum) == 0xffff:
		case stored == checksum.Fold(pseudo):
			// Its sender left it to a NIC, and there was none: a virtual one hands it on like this.
			checksum.Put(datagram[6:], sum)
		default:
			return worker.Drop(echoChecksum)
		}
	}
	swap(datagram[:2], datagram[2:4])
	return worker.Send
}

func swap(a, b []byte) {
	for i := range a {
		a[i], b[i] = b[i], a[i]
	}
}
