package xsk

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/umem"
)

// Socket serves one queue. One thread calls its methods; Levels, Held, Statistics, Retries, Listen, Ignore and what does not
// change are for any.
//
// It never holds more frames than its config says: up to Fill of them to receive into or received, up to Tx to send or
// sent. So neither side starves the other, and what the kernel is slow to take stays in the kernel's queues, not in memory.
type Socket struct {
	config Config
	nic    *NIC
	group  *Group
	area   *umem.Area
	pool   *umem.Pool
	mode   Mode

	fd         int
	mappings   [][]byte
	fill       producer[uint64]
	completion consumer[uint64]
	rx         consumer[Desc]
	tx         producer[Desc]
	waits      [2]unix.PollFd
	retries    atomic.Uint64

	life      sync.RWMutex // of other threads, against Close
	closed    bool
	listening bool
}

// Receive takes received packets from the kernel, as many whole ones as dst has place for, and returns the number of
// entries. Their frames are the caller's, who gives each back to the pool or to Transmit. With multi-buffer frames dst must
// have MaxBuffers places at least.
func (s *Socket) Receive(dst []Desc) int {
	first, second := s.rx.peek(uint32(len(dst)))
	n := copy(dst, first)
	n += copy(dst[n:], second)
	for n > 0 && Continues(dst[n-1]) {
		n--
	}
	s.rx.release(uint32(n))
	return n
}

// Transmit gives packets to the kernel, as many whole ones as it has place for, and returns the number of entries; those
// frames come back to the pool by Reclaim. The rest stays the caller's. An entry that does not lie in one frame of the
// area, or a packet of more than MaxBuffers, is a fault of the caller's, and panics: the kernel would take it and never give
// its frame back.
func (s *Socket) Transmit(packets []Desc) int {
	n, pieces := 0, 0
	for i := range min(len(packets), s.Room()) {
		if pieces++; !s.sendable(packets[i]) || pieces > MaxBuffers {
			panic(fmt.Sprintf("entry %d of a packet: %+v", pieces, packets[i]))
		}
		if !Continues(packets[i]) {
			n, pieces = i+1, 0
		}
	}
	first, second := s.tx.reserve(uint32(n))
	done := copy(first, packets[:n])
	copy(second, packets[done:n])
	s.tx.publish(uint32(n))
	return n
}

// Room is how many entries Transmit has place for. Those that were sent count until Reclaim, or the kernel could have as many
// again in its completion ring; and in copy mode a completion may be seen before its entry is free.
func (s *Socket) Room() int {
	return int(min(s.config.Tx-(s.tx.local-s.completion.local), s.tx.space()))
}

// sendable is what the kernel checks (xp_aligned_validate_desc in net/xdp/xsk_queue.h).
func (s *Socket) sendable(d Desc) bool {
	offset := d.Addr - s.area.Frame(d.Addr)
	return d.Len > 0 && offset >= s.group.metadata && offset+uint64(d.Len) <= uint64(s.area.FrameSize()) &&
		d.Addr < uint64(s.area.Frames()*s.area.FrameSize()) && d.Options&^(unix.XDP_PKT_CONTD|unix.XDP_TX_METADATA) == 0
}

// Refill gives the kernel frames of the pool to receive into.
func (s *Socket) Refill() {
	credit := s.config.Fill - (s.fill.local - s.rx.local)
	first, second := s.fill.reserve(min(credit, uint32(s.pool.Len())))
	n := s.pool.Take(first)
	n += s.pool.Take(second)
	s.fill.publish(uint32(n))
}

// Reclaim takes the frames of packets that were sent back to the pool, and returns how many.
func (s *Socket) Reclaim() int {
	first, second := s.completion.peek(s.config.Tx)
	s.pool.Put(first)
	s.pool.Put(second)
	n := len(first) + len(second)
	s.completion.release(uint32(n))
	return n
}

// Wake calls the kernel where it sleeps until it is called: to send what Transmit gave it, or to receive. With busy
// polling it is called each time, as it works in these calls alone.
func (s *Socket) Wake() error {
	if s.config.BusyPoll.Time > 0 || s.fill.needsWakeup() {
		if err := s.call(unix.SYS_RECVFROM); err != nil {
			return err
		}
	}
	if s.Unsent() && s.tx.needsWakeup() {
		return s.call(unix.SYS_SENDTO)
	}
	return nil
}

// Unsent tells whether the kernel has yet to take packets that Transmit gave it.
func (s *Socket) Unsent() bool { return s.tx.local != s.tx.ring.consumer.Load() }

// Wait sleeps until packets were received, or Transmit has room again where it had none, or time is over. It lets the kernel
// do what Wake does.
func (s *Socket) Wait(limit time.Duration) error { return s.WaitWith(nil, limit) }

// WaitWith is Wait for two sockets of one thread, of which the other may be nil. While one of them has no room to send, only
// that is waited for: packets of the other could not be forwarded.
func (s *Socket) WaitWith(other *Socket, limit time.Duration) error {
	sockets := [2]*Socket{s, other}
	number, blocked := 0, false
	for _, socket := range sockets {
		if socket != nil {
			s.waits[number] = unix.PollFd{Fd: int32(socket.fd)}
			if socket.Room() == 0 {
				s.waits[number].Events, blocked = unix.POLLOUT, true
			}
			number++
		}
	}
	for i := range s.waits[:number] {
		if !blocked {
			s.waits[i].Events = unix.POLLIN
		}
	}
	timeout := unix.NsecToTimespec(limit.Nanoseconds())
	ready, _, errno := unix.Syscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&s.waits[0])), uintptr(number),
		uintptr(unsafe.Pointer(&timeout)), 0, 0, 0)
	if errno != 0 || ready != 0 {
		return s.judge(errno)
	}
	// Polling does not tell of a NIC that is down or gone (xsk_poll).
	err := s.call(unix.SYS_RECVFROM)
	if other != nil {
		err = Worse(err, other.call(unix.SYS_RECVFROM))
	}
	return err
}

// Worse returns the error of two sockets that says more: a NIC that is down comes up again, whatever else does not pass.
func Worse(a, b error) error {
	if a == nil || errors.Is(a, ErrDown) && b != nil {
		return b
	}
	return a
}

// Listen makes an XDP program's map send the queue's packets here. A socket that is there already is refused, not replaced.
// When the socket is closed, the kernel takes it out.
func (s *Socket) Listen(sockets *ebpf.Map) error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed || s.listening {
		return nil
	}
	err := sockets.Update(uint32(s.config.Queue), uint32(s.fd), ebpf.UpdateNoExist)
	switch {
	case errors.Is(err, ebpf.ErrKeyExist):
		err = ErrBusy
	case err != nil && uint32(s.config.Queue) >= sockets.MaxEntries():
		err = fmt.Errorf("queues 0 to %d have a place in the program's map of sockets: let RSS or a flow rule send packets to one of "+
			"these (role nic): %w", sockets.MaxEntries()-1, err)
	}
	if err != nil {
		return fmt.Errorf("listen to queue %d of %s: %w", s.config.Queue, s.config.Interface, err)
	}
	s.listening = true
	return nil
}

// Ignore takes the socket out of the map again: the program's fallback has the queue's packets.
func (s *Socket) Ignore(sockets *ebpf.Map) error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed || !s.listening {
		return nil
	}
	if err := sockets.Delete(uint32(s.config.Queue)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("stop listening to queue %d of %s: %w", s.config.Queue, s.config.Interface, err)
	}
	s.listening = false
	return nil
}

// Mode is how packets come, as the kernel said: ZeroCopy, Copy or Generic.
func (s *Socket) Mode() Mode { return s.mode }

// NIC is the interface as it was when the socket was opened.
func (s *Socket) NIC() *NIC { return s.nic }

// Config is what the socket was opened with, what was left out filled in.
func (s *Socket) Config() Config { return s.config }

// Queue is the queue's number.
func (s *Socket) Queue() int { return s.config.Queue }

// Area is the memory that frames are in.
func (s *Socket) Area() *umem.Area { return s.area }

// Pool is where frames come from and go back to.
func (s *Socket) Pool() *umem.Pool { return s.pool }

// Close unmaps the rings and closes the socket. The queue is free for another then, at the latest when the kernel has
// finished with it some milliseconds later. Frames that the kernel held are free again with the pool's last socket.
func (s *Socket) Close() error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.group.remove(s)
	if err := s.release(); err != nil {
		return fmt.Errorf("close queue %d of %s: %w", s.config.Queue, s.config.Interface, err)
	}
	return nil
}

// release gives back whatever there is of a socket.
func (s *Socket) release() error {
	var faults []error
	for _, memory := range s.mappings {
		faults = append(faults, unix.Munmap(memory))
	}
	s.mappings = nil
	if s.fd >= 0 {
		faults = append(faults, unix.Close(s.fd))
		s.fd = -1
	}
	s.pool.Unclaim(s.config.Frames())
	return errors.Join(faults...)
}

// Continues tells whether a packet goes on in the next entry.
func Continues(d Desc) bool { return d.Options&unix.XDP_PKT_CONTD != 0 }
