// Package capture copies packets that workers are given to a stream in the pcapng format, those that meet an expression, up
// to limits of their number, their bytes and time.
package capture

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"tripod/go-backend/internal/cbpf"
	"tripod/go-backend/internal/worker"
)

// Tap is a handler that copies packets as they came, where somebody captures, and lets another handler judge them. Without a
// capture it costs a load for each batch.
type Tap struct {
	worker.Handler
	name string // of the queue, in captures
	feed atomic.Pointer[feed]
}

// NewTap returns a tap before the handler of a NIC's queue, which has the handler's name and reasons.
func NewTap(handler worker.Handler, nic string, queue int) *Tap {
	return &Tap{Handler: handler, name: fmt.Sprintf("%s queue %d", nic, queue)}
}

// Handle copies and hands on.
func (t *Tap) Handle(packets []worker.Packet) {
	if feed := t.feed.Load(); feed != nil {
		feed.take(packets)
	}
	t.Handler.Handle(packets)
}

// feed carries copies from a worker's thread to the capture's. It never waits: what finds no room is missed, and counted.
type feed struct {
	program cbpf.Program
	most    int // bytes of a packet
	// ring is records, each as long as said in its header and padded to 8 bytes. Head and tail count all bytes that were ever
	// written and read; the worker alone moves head, the capture tail. What lies between them is the capture's.
	ring       []byte
	head, tail atomic.Uint64
	// seen is packets that were looked at, missed those that met the expression and found no room.
	seen, missed atomic.Uint64
}

// A record's header: time in nanoseconds since 1970, bytes that follow, and length of the packet.
const recordHeader = 16

// ringSize holds what comes in some milliseconds, until the capture looks again; a power of two.
const ringSize = 4 << 20

func newFeed(program cbpf.Program, most int) *feed {
	return &feed{program: program, most: most, ring: make([]byte, ringSize)}
}

// take copies the packets that meet the expression.
func (f *feed) take(packets []worker.Packet) {
	now := uint64(time.Now().UnixNano())
	head, room := f.head.Load(), ringSize-(f.head.Load()-f.tail.Load())
	missed := uint64(0)
	for i := range packets {
		packet := &packets[i]
		length := packet.Length()
		if f.program.Run(packet.Data, uint32(length)) == 0 {
			continue
		}
		taken := min(length, f.most)
		record := uint64(recordHeader + (taken+7)&^7)
		if record > room {
			missed++
			continue
		}
		var header [recordHeader]byte
		binary.NativeEndian.PutUint64(header[:], now)
		binary.NativeEndian.PutUint32(header[8:], uint32(taken))
		binary.NativeEndian.PutUint32(header[12:], uint32(length))
		f.put(head, header[:])
		at := head + recordHeader
		for n := 0; n < packet.Buffers() && taken > 0; n++ {
			piece := packet.Buffer(n)
			piece = piece[:min(len(piece), taken)]
			f.put(at, piece)
			at, taken = at+uint64(len(piece)), taken-len(piece)
		}
		head, room = head+record, room-record
	}
	f.head.Store(head)
	f.seen.Add(uint64(len(packets)))
	if missed > 0 {
		f.missed.Add(missed)
	}
}

// put writes over the ring's end where it must.
func (f *feed) put(at uint64, bytes []byte) {
	n := copy(f.ring[at%ringSize:], bytes)
	copy(f.ring, bytes[n:])
}

func (f *feed) get(at uint64, bytes []byte) {
	n := copy(bytes, f.ring[at%ringSize:])
	copy(bytes[n:], f.ring)
}

// record is one packet, whose data is valid until the next.
type record struct {
	time     uint64
	original uint32
	data     []byte
}

// next returns the first record that is not read yet, into memory that has room for the longest.
func (f *feed) next(memory []byte) (record, bool) {
	tail := f.tail.Load()
	if tail == f.head.Load() {
		return record{}, false
	}
	var header [recordHeader]byte
	f.get(tail, header[:])
	r := record{time: binary.NativeEndian.Uint64(header[:]), original: binary.NativeEndian.Uint32(header[12:])}
	taken := uint64(binary.NativeEndian.Uint32(header[8:]))
	r.data = memory[:taken]
	f.get(tail+recordHeader, r.data)
	f.tail.Store(tail + recordHeader + (taken+7)&^7)
	return r, true
}
