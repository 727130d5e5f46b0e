package samples

import (
	"encoding/binary"
	"slices"

	"tripod/go-backend/internal/ip"
)

// said is what the first bytes of a packet say; a member is nil where they do not.
type said struct {
	Source, Destination                         []byte
	Protocol, SourcePort, DestinationPort, VLAN *uint32
}

// with are the protocols that have ports where TCP has them: TCP, UDP, DCCP, SCTP, UDP-Lite.
var withPorts = []uint8{ip.TCP, ip.UDP, 33, 132, 136}

// read says what is in a frame of so many bytes, of which the first are here.
func read(frame []byte, length int) said {
	var s said
	if len(frame) < ip.EthernetHeader {
		return s
	}
	kind, rest := binary.BigEndian.Uint16(frame[12:]), frame[ip.EthernetHeader:]
	for (kind == 0x8100 || kind == 0x88a8) && len(rest) >= 4 {
		if s.VLAN == nil {
			s.VLAN = number(binary.BigEndian.Uint16(rest) & 0xfff)
		}
		kind, rest = binary.BigEndian.Uint16(rest[2:]), rest[4:]
	}
	if kind != ip.TypeIPv4 && kind != ip.TypeIPv6 {
		return s
	}
	header, ok := ip.Parse(rest, length-(len(frame)-len(rest)))
	if !ok || header.V6 != (kind == ip.TypeIPv6) {
		return s
	}
	// The frame is gone after this.
	s.Source, s.Destination = slices.Clone(header.Source), slices.Clone(header.Destination)
	protocol, message := header.Upper(rest)
	s.Protocol = number(uint16(protocol))
	if header.Offset == 0 && len(message) >= 4 && slices.Contains(withPorts, protocol) {
		s.SourcePort, s.DestinationPort = number(binary.BigEndian.Uint16(message)), number(binary.BigEndian.Uint16(message[2:]))
	}
	return s
}

func number(value uint16) *uint32 {
	wide := uint32(value)
	return &wide
}
