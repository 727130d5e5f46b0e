// Package ip reads headers of IP packets and makes error messages about packets, without allocating.
package ip

import (
	"encoding/binary"
	"net/netip"

	"tripod/go-backend/internal/checksum"
)

// Ethernet.
const (
	EthernetHeader = 14
	TypeIPv4       = 0x0800
	TypeIPv6       = 0x86dd
)

// Lengths of headers, in bytes.
const (
	V4Header = 20 // without options
	V6Header = 40
)

// Protocols.
const (
	ICMP   = 1
	TCP    = 6
	UDP    = 17
	ICMPv6 = 58

	hopByHop    = 0
	routing     = 43
	fragment    = 44
	destination = 60
)

// TTL is of packets that are made here.
const TTL = 64

// Header is what a packet's IP header says. Its slices are the packet's own bytes.
type Header struct {
	V6 bool
	// Length is of the whole packet from the IP header on, in bytes, as the header says.
	Length int
	// TTL is the hop limit of IPv6.
	TTL                 byte
	Source, Destination []byte
	// Bytes are the header itself with its options; of IPv6 the first 40 bytes.
	Bytes []byte
	// Protocol is of what follows Bytes; of IPv6 it may be an extension header's, see Upper.
	Protocol byte
	// Fragmented is a piece of a packet, and Offset how far into it, in bytes; of IPv6 Upper tells.
	Fragmented   bool
	Offset       int
	DontFragment bool
}

// Parse reads the header of a packet that has length bytes, of which the first are here. It returns false where it is not
// one, or says more than there is.
func Parse(packet []byte, length int) (Header, bool) {
	if len(packet) < V4Header {
		return Header{}, false
	}
	switch packet[0] >> 4 {
	case 4:
		header, total := int(packet[0]&15)*4, int(binary.BigEndian.Uint16(packet[2:]))
		if header < V4Header || header > len(packet) || total < header || total > length {
			return Header{}, false
		}
		flags := binary.BigEndian.Uint16(packet[6:])
		return Header{
			Length: total, TTL: packet[8], Source: packet[12:16], Destination: packet[16:20], Bytes: packet[:header],
			Protocol: packet[9], Fragmented: flags&0x3fff != 0, Offset: int(flags&0x1fff) * 8, DontFragment: flags&0x4000 != 0,
		}, true
	case 6:
		if len(packet) < V6Header {
			return Header{}, false
		}
		total := V6Header + int(binary.BigEndian.Uint16(packet[4:]))
		if total > length {
			return Header{}, false
		}
		return Header{
			V6: true, Length: total, TTL: packet[7], Source: packet[8:24], Destination: packet[24:40], Bytes: packet[:V6Header],
			Protocol: packet[6], DontFragment: true,
		}, true
	}
	return Header{}, false
}

// maxExtensions is how many extension headers are looked behind.
const maxExtensions = 8

// Upper returns the protocol above IP and what there is of its message in packet, which begins with the header. It fills in
// the fields of fragments.
func (h *Header) Upper(packet []byte) (protocol byte, message []byte) {
	protocol, message = h.Protocol, packet[len(h.Bytes):min(len(packet), h.Length)]
	if !h.V6 {
		return protocol, message
	}
	for range maxExtensions {
		var length int
		switch protocol {
		case hopByHop, routing, destination:
			if len(message) < 8 {
				return protocol, nil
			}
			length = 8 + int(message[1])*8
		case fragment:
			if len(message) < 8 {
				return protocol, nil
			}
			place := binary.BigEndian.Uint16(message[2:])
			h.Fragmented, h.Offset, length = true, int(place&^7), 8
		default:
			return protocol, message
		}
		if length > len(message) {
			return protocol, nil
		}
		protocol, message = message[0], message[length:]
		if h.Offset > 0 {
			// What follows is the middle of a message.
			return protocol, message
		}
	}
	return protocol, nil
}

// ChecksumHolds tells whether an IPv4 header's checksum is right; IPv6 has none.
func (h *Header) ChecksumHolds() bool {
	return h.V6 || checksum.Fold(checksum.Sum(h.Bytes)) == 0xffff
}

// Decrement takes one off the TTL, and corrects the checksum by that (RFC 1624).
func (h *Header) Decrement() {
	h.TTL--
	if h.V6 {
		h.Bytes[7]--
		return
	}
	h.Bytes[8]--
	sum := uint32(binary.BigEndian.Uint16(h.Bytes[10:])) + 0x0100
	binary.BigEndian.PutUint16(h.Bytes[10:], uint16(sum+sum>>16))
}

// Routable tells whether packets from source to destination may pass a router: neither is a group's, of one link or of one
// host (RFC 1812, section 5.3.7; RFC 3927, section 2.7; RFC 4291, section 2.5.6).
func (h *Header) Routable() bool { return global(h.Source, h.V6) && global(h.Destination, h.V6) }

func global(address []byte, v6 bool) bool {
	if !v6 {
		return address[0] != 0 && address[0] != 127 && address[0] < 224 && (address[0] != 169 || address[1] != 254)
	}
	if address[0] == 0xff || address[0] == 0xfe && address[1]&0xc0 == 0x80 {
		return false
	}
	// The unspecified address and the loopback's.
	return binary.BigEndian.Uint64(address) != 0 || binary.BigEndian.Uint64(address[8:]) > 1
}

// PutV4 writes an IPv4 header without options for a packet of so many bytes with it, that is not to be fragmented.
func PutV4(header []byte, length int, protocol, service byte, source, destination [4]byte) {
	_ = header[V4Header-1]
	binary.BigEndian.PutUint32(header, 0x45<<24|uint32(service)<<16|uint32(length))
	binary.BigEndian.PutUint32(header[4:], 0x4000)
	binary.BigEndian.PutUint32(header[8:], TTL<<24|uint32(protocol)<<16)
	copy(header[12:], source[:])
	copy(header[16:], destination[:])
	checksum.Put(header[10:], checksum.Sum(header[:V4Header]))
}

// PutV6 writes an IPv6 header for so many bytes behind it.
func PutV6(header []byte, length int, protocol, class byte, source, destination [16]byte) {
	_ = header[V6Header-1]
	binary.BigEndian.PutUint32(header, 6<<28|uint32(class)<<20)
	binary.BigEndian.PutUint32(header[4:], uint32(length)<<16|uint32(protocol)<<8|TTL)
	copy(header[8:], source[:])
	copy(header[24:], destination[:])
}

// Unicast says why an address cannot be a host's, or nothing.
func Unicast(address netip.Addr) string {
	switch {
	case !address.IsValid():
		return "it is not an address"
	case address.Zone() != "":
		return "an address with a zone is of one link"
	case address.IsUnspecified(), address.IsMulticast(), address.IsLoopback(), address.Is4() && address.As4()[0] >= 240:
		return "it is no host's on a network"
	}
	return ""
}
