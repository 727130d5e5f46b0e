package bpftest

import (
	"encoding/binary"
	"net/netip"
)

// Ethertypes.
const (
	TypeIPv4 = 0x0800
	TypeARP  = 0x0806
	TypeVLAN = 0x8100
	TypeIPv6 = 0x86dd
	TypeQinQ = 0x88a8
)

// Ethernet returns a frame with the given ethertype and payload.
func Ethernet(ethertype uint16, payload []byte) []byte {
	frame := []byte{0x02, 0, 0, 0, 0, 0x02, 0x02, 0, 0, 0, 0, 0x01}
	frame = binary.BigEndian.AppendUint16(frame, ethertype)
	return append(frame, payload...)
}

// Tag puts a VLAN tag in front of a frame's ethertype.
func Tag(frame []byte, ethertype, vlan uint16) []byte {
	tagged := append([]byte(nil), frame[:12]...)
	tagged = binary.BigEndian.AppendUint16(tagged, ethertype)
	tagged = binary.BigEndian.AppendUint16(tagged, vlan)
	return append(tagged, frame[12:]...)
}

// UDP returns a frame with a datagram of the given payload length, IPv4 or IPv6 after its source.
func UDP(source string, payload int) []byte {
	from := netip.MustParseAddr(source)
	datagram := binary.BigEndian.AppendUint16(nil, 1024)
	datagram = binary.BigEndian.AppendUint16(datagram, 53)
	datagram = binary.BigEndian.AppendUint16(datagram, uint16(8+payload))
	datagram = append(datagram, make([]byte, 2+payload)...)
	if from.Is4() {
		header := []byte{0x45, 0}
		header = binary.BigEndian.AppendUint16(header, uint16(20+len(datagram)))
		header = append(header, 0, 0, 0, 0, 64, 17, 0, 0)
		header = append(header, from.AsSlice()...)
		header = append(header, 198, 51, 100, 1)
		return Ethernet(TypeIPv4, append(header, datagram...))
	}
	header := []byte{0x60, 0, 0, 0}
	header = binary.BigEndian.AppendUint16(header, uint16(len(datagram)))
	header = append(header, 17, 64)
	header = append(header, from.AsSlice()...)
	header = append(header, netip.MustParseAddr("2001:db8:ffff::1").AsSlice()...)
	return Ethernet(TypeIPv6, append(header, datagram...))
}
