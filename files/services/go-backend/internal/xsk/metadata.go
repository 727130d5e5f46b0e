package xsk

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/checksum"
)

// txMetadata lies right before a packet that has XDP_TX_METADATA (struct xsk_tx_metadata; the launch time since 6.15).
type txMetadata struct {
	flags      uint64
	start      uint16 // where the checksum begins, from the packet's start
	offset     uint16 // where it is stored, from there
	_          uint32
	launchTime uint64 // in nanoseconds of CLOCK_TAI
}

// MetadataSize is what may lie before a packet that is sent, in bytes of its frame.
const MetadataSize = uint64(unsafe.Sizeof(txMetadata{}))

// Checksum completes an Internet checksum of a packet to be sent: of all bytes from start on, stored at start + offset, where
// the caller has put the sum of the pseudo-header (folded, not inverted). The NIC or the kernel does it where they can, else
// it is done here. Both bytes must lie in the first buffer; a packet of several needs Offloads, as only one buffer is summed.
func (s *Socket) Checksum(d *Desc, start, offset uint16) {
	packet := s.area.Bytes(d.Addr, d.Len)
	// Beyond the packet it panics here: the kernel would never get past such a packet.
	at := int(start) + int(offset)
	place := packet[at : at+2 : len(packet)]
	if s.Offloads() {
		metadata := s.metadata(d)
		metadata.flags |= unix.XDP_TXMD_FLAGS_CHECKSUM
		metadata.start, metadata.offset = start, offset
		return
	}
	checksum.Put(place, checksum.Sum(packet[start:]))
}

// Offloads tells whether Checksum leaves the sum to others: in copy mode to the kernel (6.8), which has it done by the NIC or
// does it, in zero-copy mode to NICs whose driver can.
func (s *Socket) Offloads() bool {
	return s.group.metadata > 0 && (s.mode != ZeroCopy || s.nic.Features != nil && s.nic.Features.Checksum)
}

// LaunchAt lets the NIC send a packet at a time in nanoseconds of CLOCK_TAI. Where it cannot, nothing is changed and it
// returns false: the caller may hold the packet back instead.
func (s *Socket) LaunchAt(d *Desc, when uint64) bool {
	if s.group.metadata == 0 || s.nic.Features == nil || !s.nic.Features.LaunchTime {
		return false
	}
	metadata := s.metadata(d)
	metadata.flags |= unix.XDP_TXMD_FLAGS_LAUNCH_TIME
	metadata.launchTime = when
	return true
}

// metadata returns a packet's metadata, empty at first.
func (s *Socket) metadata(d *Desc) *txMetadata {
	// Of a packet that begins too early it panics here, as that would be in another frame.
	bytes := s.area.Bytes(s.area.Frame(d.Addr), uint32(d.Addr-s.area.Frame(d.Addr)))
	bytes = bytes[uint64(len(bytes))-MetadataSize:]
	metadata := (*txMetadata)(unsafe.Pointer(&bytes[0]))
	if d.Options&unix.XDP_TX_METADATA == 0 {
		*metadata = txMetadata{}
		d.Options |= unix.XDP_TX_METADATA
	}
	return metadata
}
