package xsk

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Desc is an entry of the rx and tx rings: where a piece of a packet begins in the UMEM, its length in bytes, and options
// (XDP_PKT_CONTD: the packet goes on in the next entry; XDP_TX_METADATA: metadata lies before it).
type Desc = unix.XDPDesc

// The four rings are shared with the kernel, one writer for each word of them:
//
//	ring        entries   producer index, entries   consumer index   who takes what from whom
//	fill        frames    this process              the kernel       frames to receive into
//	rx          Desc      the kernel                this process     packets received
//	tx          Desc      this process              the kernel       packets to send
//	completion  frames    the kernel                this process     frames whose packets are sent
//
// Indices count entries since the ring was made, modulo 1<<32; index & mask is a place. The producer may write entries
// [producer, consumer+size), the consumer may read [consumer, producer). Whoever moves an index gives entries away, and may
// not touch them after that. Within this process one thread has all four sides of a socket.
//
// What orders it. The kernel publishes with smp_store_release of its index, after what it did to the entries, and looks
// with smp_load_acquire of ours (net/xdp/xsk_queue.h). On our side, each index is an atomic.Uint32:
//
//	producer.publish  entries are written, then Store(producer)   pairs with the kernel's acquire: it sees the entries
//	producer.reserve  Load(consumer), then entries are written    pairs with its release: it has read what we overwrite
//	consumer.peek     Load(producer), then entries are read       pairs with its release: we see the entries
//	consumer.release  entries are read, then Store(consumer)      pairs with its acquire: it overwrites what we have read
//
// The same four carry the frames' bytes over: a frame is ours from the Load that showed its entry to the Store that gave it
// away. Go's atomics are sequentially consistent (https://go.dev/ref/mem), which is more than acquire and release, and one
// thing needs the more: needsWakeup reads a flag after publish stored an index, while the kernel sets the flag and then
// looks at the index. Were our load to pass our store, both could miss the other, and the kernel would sleep on a full
// ring. On x86-64 Store is XCHG, on arm64 STLR before LDAR; it is paid once a batch.
//
// An index of the other side is loaded when what was last seen of it no longer suffices, once a batch at most. An index of
// our own is kept in local, as nobody else moves it.
type ring[T uint64 | Desc] struct {
	producer *atomic.Uint32
	consumer *atomic.Uint32
	flags    *atomic.Uint32
	entries  []T // a power of two
	local    uint32
	seen     uint32
}

// newRing lays a ring over memory that is shared with the kernel.
func newRing[T uint64 | Desc](memory []byte, at unix.XDPRingOffset, size uint32) (ring[T], error) {
	var entry T
	if end := at.Desc + uint64(size)*uint64(unsafe.Sizeof(entry)); end > uint64(len(memory)) {
		return ring[T]{}, fmt.Errorf("ring of %d entries ends at %d of %d bytes", size, end, len(memory))
	}
	word := func(offset uint64) *atomic.Uint32 { return (*atomic.Uint32)(unsafe.Pointer(&memory[offset])) }
	r := ring[T]{producer: word(at.Producer), consumer: word(at.Consumer), flags: word(at.Flags)}
	r.entries = unsafe.Slice((*T)(unsafe.Pointer(&memory[at.Desc])), size)
	return r, nil
}

// span returns n entries from an index on, as two pieces, since they may go over the ring's end.
func (r *ring[T]) span(from, n uint32) (first, second []T) {
	size := uint32(len(r.entries))
	start := from & (size - 1)
	if n <= size-start {
		return r.entries[start : start+n], nil
	}
	return r.entries[start:], r.entries[:n-(size-start)]
}

// needsWakeup tells whether the kernel sleeps until it is called. It is to be looked at after publish.
func (r *ring[T]) needsWakeup() bool { return r.flags.Load()&unix.XDP_RING_NEED_WAKEUP != 0 }

// level is how many entries the consumer has before it. Any thread may look.
func (r *ring[T]) level() uint32 {
	// The consumer first: it never passes the producer, so the difference is not negative.
	consumer := r.consumer.Load()
	return r.producer.Load() - consumer
}

// producer is the side that writes entries: of the fill and the tx ring.
type producer[T uint64 | Desc] struct{ ring[T] }

// reserve returns entries that may be written, up to n of them. Until publish they may be reserved again.
func (p *producer[T]) reserve(n uint32) (first, second []T) {
	free := uint32(len(p.entries)) - (p.local - p.seen)
	if free < n {
		free = p.space()
	}
	return p.span(p.local, min(n, free))
}

// space is how many entries may be written.
func (p *producer[T]) space() uint32 {
	p.seen = p.consumer.Load()
	return uint32(len(p.entries)) - (p.local - p.seen)
}

// publish gives the first n reserved entries to the kernel.
func (p *producer[T]) publish(n uint32) {
	if n == 0 {
		return
	}
	p.local += n
	p.ring.producer.Store(p.local)
}

// consumer is the side that reads entries: of the rx and the completion ring.
type consumer[T uint64 | Desc] struct{ ring[T] }

// peek returns entries that may be read, up to n of them. Until release they may be peeked at again.
func (c *consumer[T]) peek(n uint32) (first, second []T) {
	ready := c.seen - c.local
	if ready < n {
		c.seen = c.producer.Load()
		ready = c.seen - c.local
	}
	return c.span(c.local, min(n, ready))
}

// release gives the first n peeked entries back to the kernel.
func (c *consumer[T]) release(n uint32) {
	if n == 0 {
		return
	}
	c.local += n
	c.ring.consumer.Store(c.local)
}
