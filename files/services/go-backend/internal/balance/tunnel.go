package balance

import (
	"encoding/binary"

	"tripod/go-backend/internal/checksum"
	"tripod/go-backend/internal/ip"
	"tripod/go-backend/internal/worker"
)

// Of generic UDP encapsulation (draft-ietf-intarea-gue, and fou in the kernel).
const (
	udpHeader = 8
	gueHeader = 4
)

// Protocols of packets in packets.
const (
	insideV4 = 4
	insideV6 = 41
)

// tunnel is what is in front of packets to a backend.
type tunnel struct {
	v6                  bool
	gue                 bool
	port                uint16
	source4, backend4   [4]byte
	source16, backend16 [16]byte
	nextHop             [6]byte
}

// overhead is how much longer packets become, in bytes.
func (t *tunnel) overhead() int {
	length := ip.V4Header
	if t.v6 {
		length = ip.V6Header
	}
	if t.gue {
		length += udpHeader + gueHeader
	}
	return length
}

// enter puts a packet into the tunnel, from one MAC address to the next hop's, and returns false where its frame has no
// room. Class is what it says of its urgency, which the tunnel says too, congestion included (RFC 6040).
func (t *tunnel) enter(packet *worker.Packet, header *ip.Header, hash uint64, mac [6]byte) bool {
	inner, class := header.Length, byte(0)
	protocol := byte(insideV4)
	if header.V6 {
		protocol, class = insideV6, header.Bytes[0]<<4|header.Bytes[1]>>4
	} else {
		class = header.Bytes[1]
	}
	if packet.Buffers() == 1 {
		// What made it as long as Ethernet's shortest is not the tunnel's.
		packet.Data = packet.Data[:ip.EthernetHeader+inner]
	}
	if !packet.Prepend(t.overhead()) {
		return false
	}
	frame := packet.Data
	copy(frame, t.nextHop[:])
	copy(frame[6:], mac[:])
	outer, payload := frame[ip.EthernetHeader:], inner
	if t.gue {
		payload += udpHeader + gueHeader
	}
	if t.v6 {
		binary.BigEndian.PutUint16(frame[12:], ip.TypeIPv6)
	} else {
		binary.BigEndian.PutUint16(frame[12:], ip.TypeIPv4)
	}
	next := protocol
	if t.gue {
		next = ip.UDP
	}
	if t.v6 {
		ip.PutV6(outer, payload, next, class, t.source16, t.backend16)
	} else {
		ip.PutV4(outer, ip.V4Header+payload, next, class, t.source4, t.backend4)
	}
	if t.gue {
		t.datagram(outer, payload, protocol, hash)
	}
	return true
}

// datagram writes the headers between IP's and the packet, given the outer packet.
func (t *tunnel) datagram(outer []byte, length int, protocol byte, hash uint64) {
	start := ip.V4Header
	if t.v6 {
		start = ip.V6Header
	}
	udp := outer[start:]
	// The port differs by flow, so that what is between here and the backend spreads flows, and keeps each in order.
	binary.BigEndian.PutUint16(udp, 0xc000|uint16(hash>>48)&0x3fff)
	binary.BigEndian.PutUint16(udp[2:], t.port)
	binary.BigEndian.PutUint32(udp[4:], uint32(length)<<16)
	binary.BigEndian.PutUint32(udp[udpHeader:], uint32(protocol)<<16)
	if t.v6 {
		// Over IPv6 a datagram without a checksum is dropped unless its port allows that; over IPv4 the packet's own do.
		udp = udp[:length]
		checksum.Put(udp[6:], checksum.Sum(outer[8:ip.V6Header])+ip.UDP+uint64(length)+checksum.Sum(udp))
	}
}
