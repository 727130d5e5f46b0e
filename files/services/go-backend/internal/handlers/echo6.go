package handlers

import (
	"encoding/binary"

	"tripod/go-backend/internal/checksum"
	"tripod/go-backend/internal/worker"
)

const (
	ipv6Header        = 40
	neighbourMessage  = 24 // a solicitation or an advertisement without options
	linkAddressOption = 8
)

// Types of ICMPv6.
const (
	echoRequest6  = 128
	echoReply6    = 129
	solicitation  = 135
	advertisement = 136
)

func (e *Echo) ipv6(packet *worker.Packet, ours bool) worker.Verdict {
	header := packet.Data[ethernetHeader:]
	if len(header) < ipv6Header || header[0]>>4 != 6 {
		return worker.Drop(echoMalformed)
	}
	length := int(binary.BigEndian.Uint16(header[4:]))
	body, fits := carried(packet, ethernetHeader+ipv6Header, length)
	if !fits {
		return worker.Drop(echoMalformed)
	}
	source, destination, head := header[8:24], header[24:40], body.head
	if source[0] == 0xff || e.v6[[16]byte(source)] {
		return worker.Drop(echoSource)
	}
	addresses := checksum.Sum(header[8:40])
	if header[6] == protocolICMPv6 && len(head) >= neighbourMessage && head[0] == solicitation && packet.Buffers() == 1 {
		return e.advertise(packet, head, addresses)
	}
	if !ours || !e.v6[[16]byte(destination)] {
		return worker.Drop(echoNotOurs)
	}
	if [16]byte(source) == [16]byte{} {
		return worker.Drop(echoSource)
	}
	verdict := worker.Drop(echoUnsupported)
	switch header[6] {
	case protocolICMPv6:
		verdict = ping(body, addresses+protocolICMPv6+uint64(length), echoRequest6, echoReply6)
	case protocolUDP:
		if len(head) >= 8 && head[6] == 0 && head[7] == 0 {
			// Over IPv6 a datagram has a checksum (RFC 8200, section 8.1).
			return worker.Drop(echoChecksum)
		}
		verdict = datagram(body, addresses)
	case 44: // fragment header
		verdict = worker.Drop(echoFragment)
	}
	if verdict == worker.Send {
		swap(source, destination)
		header[7] = answerTTL
	}
	return verdict
}

// advertise answers a neighbour solicitation (RFC 4861, section 7.2.4). One from the unspecified address looks whether
// anybody has the target; all nodes are told.
func (e *Echo) advertise(packet *worker.Packet, body []byte, addresses uint64) worker.Verdict {
	header := packet.Data[ethernetHeader:]
	target := [16]byte(body[8:])
	switch {
	case header[7] != 255 || body[1] != 0:
		return worker.Drop(echoMalformed)
	case !e.v6[target]:
		return worker.Drop(echoNotOurs)
	case checksum.Fold(addresses+protocolICMPv6+uint64(len(body))+checksum.Sum(body)) != 0xffff:
		return worker.Drop(echoChecksum)
	}
	const length = neighbourMessage + linkAddressOption
	// The frame has room, as any has for the smallest MTU of IPv6.
	packet.Data = packet.Data[:ethernetHeader+ipv6Header+length]
	header = packet.Data[ethernetHeader:]
	source, destination, flags := header[8:24], header[24:40], byte(0x60) // solicited, override
	if [16]byte(source) == [16]byte{} {
		allNodes := [16]byte{0: 0xff, 1: 0x02, 15: 1}
		copy(destination, allNodes[:])
		copy(packet.Data[6:], []byte{0x33, 0x33, 0, 0, 0, 1})
		flags = 0x20
	} else {
		copy(destination, source)
	}
	copy(source, target[:])
	binary.BigEndian.PutUint16(header[4:], length)
	message := header[ipv6Header:]
	clear(message)
	message[0], message[4] = advertisement, flags
	copy(message[8:], target[:])
	message[24], message[25] = 2, 1 // target link-layer address, 8 bytes
	copy(message[26:], e.mac[:])
	checksum.Put(message[2:], checksum.Sum(header[8:40])+protocolICMPv6+length+checksum.Sum(message))
	return worker.Send
}
