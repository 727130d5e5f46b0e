package balance

import (
	"encoding/binary"

	"tripod/go-backend/internal/ip"
)

// flow is the hash of what a client's packets of a connection have in common.
func flow(source, destination []byte, protocol byte, ports uint32) uint64 {
	above := uint64(ports)<<8 | uint64(protocol)
	if len(source) == 4 {
		return mix(uint64(binary.BigEndian.Uint32(source))<<32|uint64(binary.BigEndian.Uint32(destination)), above)
	}
	from := mix(binary.BigEndian.Uint64(source), binary.BigEndian.Uint64(source[8:]))
	to := mix(binary.BigEndian.Uint64(destination), binary.BigEndian.Uint64(destination[8:]))
	return mix(from^to<<1, above)
}

// flowOf returns the hash of a packet's flow, given its bytes from the IP header on. It returns false where the ports are
// missing: of a fragment, as only the first one has them, and of a packet that is too short.
func flowOf(header *ip.Header, packet []byte) (hash uint64, whole bool) {
	protocol, message := header.Upper(packet)
	if header.Fragmented {
		return 0, false
	}
	var ports uint32
	switch {
	case protocol == ip.TCP || protocol == ip.UDP:
		if len(message) < 4 {
			return 0, false
		}
		ports = binary.BigEndian.Uint32(message)
	case isError(header.V6, protocol, message):
		return flowOfError(header, message[8:])
	}
	return flow(header.Source, header.Destination, protocol, ports), true
}

// isError tells whether a message is of ICMP, about a packet that was sent.
func isError(v6 bool, protocol byte, message []byte) bool {
	if len(message) < 8 {
		return false
	}
	if v6 {
		return protocol == ip.ICMPv6 && message[0] < 128
	}
	return protocol == ip.ICMP && (message[0] == 3 || message[0] == 11 || message[0] == 12)
}

// flowOfError returns the hash of the flow that a message of ICMP is about: the packet in it was a backend's to a client, so
// the two are exchanged. A backend would not know otherwise that its packets are too long for somebody.
func flowOfError(outer *ip.Header, packet []byte) (uint64, bool) {
	// Of the packet there is a part only.
	header, ok := ip.Parse(packet, 1<<17)
	if !ok || header.V6 != outer.V6 {
		return flow(outer.Source, outer.Destination, ip.ICMP, 0), true
	}
	protocol, message := header.Upper(packet)
	var ports uint32
	if (protocol == ip.TCP || protocol == ip.UDP) && len(message) >= 4 && header.Offset == 0 {
		ports = uint32(binary.BigEndian.Uint16(message[2:]))<<16 | uint32(binary.BigEndian.Uint16(message))
	}
	return flow(header.Destination, header.Source, protocol, ports), true
}
