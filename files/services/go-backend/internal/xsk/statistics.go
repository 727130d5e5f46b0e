package xsk

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Statistics is what the kernel counted for a socket since it was opened (XDP_STATISTICS).
type Statistics struct {
	// Dropped is packets that found no frame in the fill ring, or were longer than there is room for.
	Dropped uint64
	// RingFull is packets that found the rx ring full.
	RingFull uint64
	// FillEmpty is how often the fill ring was found empty; those packets are in Dropped.
	FillEmpty uint64
	// InvalidFill and InvalidTx are entries of ours that the kernel refused.
	InvalidFill, InvalidTx uint64
	// TxEmpty is how often the tx ring was found empty.
	TxEmpty uint64
}

// Statistics asks the kernel. A socket that is closed has none.
func (s *Socket) Statistics() (Statistics, error) {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return Statistics{}, fmt.Errorf("read statistics of queue %d of %s: %w", s.config.Queue, s.config.Interface, ErrGone)
	}
	var raw unix.XDPStatistics
	if err := getsockopt(s.fd, unix.XDP_STATISTICS, &raw); err != nil {
		return Statistics{}, fmt.Errorf("read statistics of queue %d of %s: %w", s.config.Queue, s.config.Interface, err)
	}
	return Statistics{
		Dropped: raw.Rx_dropped, RingFull: raw.Rx_ring_full, FillEmpty: raw.Rx_fill_ring_empty_descs,
		InvalidFill: raw.Rx_invalid_descs, InvalidTx: raw.Tx_invalid_descs, TxEmpty: raw.Tx_ring_empty_descs,
	}, nil
}

// Levels is how many entries wait in each ring for whom they are for.
type Levels struct{ Fill, Rx, Tx, Completion int }

// Levels reads the rings' indices; those of a socket that is closed are all 0.
func (s *Socket) Levels() Levels {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return Levels{}
	}
	return Levels{
		Fill: int(s.fill.level()), Rx: int(s.rx.level()),
		Tx: int(s.tx.level()), Completion: int(s.completion.level()),
	}
}

// Held is how many frames the socket has: to receive into or received, and to send or sent. It is the difference of indices
// that are there anyway, and exact on the socket's thread.
func (s *Socket) Held() (receiving, sending int) {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return 0, 0
	}
	// The side that gives back first, so that the difference is not negative.
	received, completed := s.rx.ring.consumer.Load(), s.completion.ring.consumer.Load()
	return int(s.fill.ring.producer.Load() - received), int(s.tx.ring.producer.Load() - completed)
}

// Retries is how often a call found the kernel at its limit.
func (s *Socket) Retries() uint64 { return s.retries.Load() }
