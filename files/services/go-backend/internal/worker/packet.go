package worker

import (
	"tripod/go-backend/internal/umem"
	"tripod/go-backend/internal/xsk"
)

// Verdict is what becomes of a packet.
type Verdict uint8

// Verdicts, and from firstReason on a handler's reasons to drop.
const (
	// Consume is a packet that the handler is done with; it goes no further.
	Consume Verdict = iota
	// Send lets the packet leave by the queue that it came from, as the handler has left it.
	Send
	// Forward lets it leave by the other NIC of a worker that has a peer.
	Forward
	// panicked is dropped as its handler panicked, stopped as its worker ended before the NIC had room for an answer.
	panicked
	stopped
	firstReason
)

// MaxReasons is how many reasons to drop a handler can have.
const MaxReasons = 16

// Drop is the verdict for the handler's reason of a number, from 0 on.
func Drop(reason int) Verdict { return firstReason + Verdict(reason) }

// Packet is a packet that was received. It is the handler's until Handle returns; none of its memory may be kept.
type Packet struct {
	// Data is the packet, or of one that is longer than a frame the first buffer. It may be changed in place, cut at both
	// ends and, within its capacity, made longer.
	Data []byte
	// Verdict is Consume until the handler says otherwise.
	Verdict Verdict
	// Port tells which of the worker's NICs the packet came by: 0 is its own, 1 the peer.
	Port int

	entry xsk.Desc   // of Data as it was received
	rest  []xsk.Desc // further buffers
	area  *umem.Area
}

// Set makes it the packet of a run of entries that came by a port. Tests of handlers do.
func (p *Packet) Set(area *umem.Area, port int, entries []xsk.Desc) {
	p.begin(area, port, entries[0])
	p.rest = entries[1:]
}

// begin makes it a packet whose first entry came by a port.
func (p *Packet) begin(area *umem.Area, port int, entry xsk.Desc) {
	p.area, p.Port, p.entry = area, port, entry
	p.Verdict = Consume
	p.Data = area.Bytes(entry.Addr, entry.Len)
}

// leaves is the port that a packet with the verdict Send or Forward leaves by.
func (p *Packet) leaves() int {
	if p.Verdict == Forward {
		return 1 - p.Port
	}
	return p.Port
}

// Length is of the whole packet, in bytes.
func (p *Packet) Length() int {
	length := len(p.Data)
	for _, entry := range p.rest {
		length += int(entry.Len)
	}
	return length
}

// Buffers is how many buffers the packet has: one, or more with multi-buffer frames.
func (p *Packet) Buffers() int { return 1 + len(p.rest) }

// Buffer returns the bytes of a buffer, 0 being Data.
func (p *Packet) Buffer(number int) []byte {
	if number == 0 {
		return p.Data
	}
	entry := p.rest[number-1]
	return p.area.Bytes(entry.Addr, entry.Len)
}

// Prepend makes Data begin so many bytes earlier, and returns false where the frame has no room for that: it has
// umem.KernelHeadroom and the area's headroom, less what the kernel's metadata takes.
func (p *Packet) Prepend(bytes int) bool {
	start := p.start()
	if bytes < 0 || start-p.area.Frame(start) < uint64(bytes)+xsk.MetadataSize {
		return false
	}
	p.Data = p.area.Bytes(start-uint64(bytes), uint32(len(p.Data)+bytes))
	return true
}

// start is where Data begins in the area: its capacity always reaches to its frame's end.
func (p *Packet) start() uint64 {
	return p.area.Frame(p.entry.Addr) + uint64(p.area.FrameSize()-cap(p.Data))
}

// sendable tells whether Data is something that can be sent: bytes of the packet's own frame, behind its metadata.
func (p *Packet) sendable() bool {
	if len(p.Data) == 0 || cap(p.Data) > p.area.FrameSize()-int(xsk.MetadataSize) {
		return false
	}
	return &p.Data[0] == &p.area.Bytes(p.start(), 1)[0]
}
