package ip

import (
	"encoding/binary"
	"net/netip"
	"time"

	"tripod/go-backend/internal/checksum"
	"tripod/go-backend/internal/worker"
)

// Kinds of messages: type and code, of ICMP (RFC 792, 1191) and ICMPv6 (RFC 4443).
const (
	timeExceeded4 = 11 << 8
	tooBig4       = 3<<8 | 4
	timeExceeded6 = 3 << 8
	tooBig6       = 2 << 8
)

// How much of a packet a message has, in bytes with the message's headers: RFC 1812, section 4.3.2.3; RFC 4443, section 2.4.
const (
	longest4 = 576
	longest6 = 1280
)

const icmpHeader = 8

// Errors makes error messages of packets that cannot go on, a bounded number a second. One thread may use it.
type Errors struct {
	v4, v6   netip.Addr
	interval time.Duration // of one message
	now      func() time.Time
	credit   time.Duration
	last     time.Time
}

// burst is how many messages may be sent at once, after a while without.
const burst = 10

// NewErrors returns what makes messages from some addresses, of which any may be missing: then there are none of its family.
// 0 messages a second are none at all.
func NewErrors(v4, v6 netip.Addr, perSecond int) *Errors {
	e := &Errors{v4: v4.Unmap(), v6: v6, now: time.Now}
	if perSecond > 0 {
		e.interval = time.Second / time.Duration(perSecond)
	}
	return e
}

// TimeExceeded makes a packet the message that its time was exceeded, to whoever sent it and by the station that it came
// from. It returns false, and leaves the packet as it is, where there must be none or there were enough.
func (e *Errors) TimeExceeded(packet *worker.Packet, header *Header) bool {
	if header.V6 {
		return e.report(packet, header, timeExceeded6, 0)
	}
	return e.report(packet, header, timeExceeded4, 0)
}

// TooBig makes a packet the message that it is longer than an MTU in bytes; see TimeExceeded.
func (e *Errors) TooBig(packet *worker.Packet, header *Header, mtu int) bool {
	if header.V6 {
		return e.report(packet, header, tooBig6, uint32(mtu))
	}
	return header.DontFragment && e.report(packet, header, tooBig4, uint32(mtu))
}

func (e *Errors) report(packet *worker.Packet, header *Header, kind uint16, value uint32) bool {
	ours, room, most := e.v4, V4Header+icmpHeader, longest4
	if header.V6 {
		ours, room, most = e.v6, V6Header+icmpHeader, longest6
	}
	if !ours.IsValid() || packet.Data[0]&1 != 0 || packet.Buffers() > 1 || !deserves(packet.Data[EthernetHeader:], header) || !e.allowed() {
		return false
	}
	var sender [16]byte
	copy(sender[:], header.Source)
	stations := [12]byte(packet.Data)
	quoted := min(header.Length, most-room, len(packet.Data)-EthernetHeader)
	whole := packet.Data
	packet.Data = packet.Data[:EthernetHeader+quoted]
	if !packet.Prepend(room) {
		packet.Data = whole
		return false
	}
	frame := packet.Data
	copy(frame, stations[6:])
	copy(frame[6:], stations[:6])
	message := frame[EthernetHeader+room-icmpHeader:]
	binary.BigEndian.PutUint16(message, kind)
	binary.BigEndian.PutUint16(message[2:], 0)
	binary.BigEndian.PutUint32(message[4:], value)
	const internetControl = 0xc0 // class of service (RFC 1812, section 4.3.2.5)
	if !header.V6 {
		binary.BigEndian.PutUint16(frame[12:], TypeIPv4)
		PutV4(frame[EthernetHeader:], room+quoted, ICMP, internetControl, ours.As4(), [4]byte(sender[:]))
		checksum.Put(message[2:], checksum.Sum(message))
		return true
	}
	binary.BigEndian.PutUint16(frame[12:], TypeIPv6)
	PutV6(frame[EthernetHeader:], icmpHeader+quoted, ICMPv6, internetControl, ours.As16(), sender)
	pseudo := checksum.Sum(frame[EthernetHeader+8:EthernetHeader+V6Header]) + ICMPv6 + uint64(len(message))
	checksum.Put(message[2:], pseudo+checksum.Sum(message))
	return true
}

// deserves tells whether a message may be sent about a packet: never about a message of an error, about any but a packet's
// first piece, or to and about what is not one host's (RFC 1812, section 4.3.2.7; RFC 4443, section 2.4).
func deserves(packet []byte, header *Header) bool {
	protocol, message := header.Upper(packet)
	switch {
	case header.Offset > 0 || !header.Routable():
		return false
	case header.V6 && protocol == ICMPv6:
		return len(message) > 0 && message[0] >= 128
	case !header.V6 && protocol == ICMP:
		// Of ICMP, what asks: echo, timestamp and what else is not an error.
		return len(message) > 0 && message[0] != 3 && message[0] != 4 && message[0] != 5 && message[0] != 11 && message[0] != 12
	}
	return true
}

// allowed takes one message off what may be sent now.
func (e *Errors) allowed() bool {
	if e.interval == 0 {
		return false
	}
	now := e.now()
	e.credit = min(e.credit+now.Sub(e.last), burst*e.interval)
	e.last = now
	if e.credit < e.interval {
		return false
	}
	e.credit -= e.interval
	return true
}
