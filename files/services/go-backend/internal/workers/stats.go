package workers

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"tripod/go-backend/internal/worker"
	"tripod/go-backend/internal/xsk"
)

// QueueStats is what became of the packets of one queue since the start of the process, over all times that a worker of one
// name served it.
type QueueStats struct {
	Worker, NIC string
	Queue       int
	// Handlers are those that it had, sorted by name. Of the queue of a peer there are none: its packets are counted where
	// they are handled.
	Handlers []worker.Counts
	// Kernel is what the kernel counted for its sockets.
	Kernel  xsk.Statistics
	Retries uint64
	Busy    time.Duration
	// Latencies are of its handlers.
	Latencies worker.Latencies
	// Live is of the worker that serves it now, nil where none does.
	Live *Live
}

// Live is of a queue that is served.
type Live struct {
	Levels xsk.Levels
	// Frames of its pool, and of these the free and the lost ones. Of the queue of a peer, whose pool is the other's, all 0.
	Frames, Free, Lost int
	CPU                int
	Mode               xsk.Mode
	Stalled            bool
}

// port names a queue of a worker.
type port struct {
	worker, nic string
	queue       int
}

func (s QueueStats) port() port { return port{s.Worker, s.NIC, s.Queue} }

func (s QueueStats) ended() QueueStats {
	s.Live = nil
	return s
}

// plus adds what former workers of the queue have counted.
func (s QueueStats) plus(former QueueStats) QueueStats {
	s.Handlers = worker.Merge(append(slices.Clone(s.Handlers), former.Handlers...))
	k, f := &s.Kernel, former.Kernel
	k.Dropped, k.RingFull, k.FillEmpty = k.Dropped+f.Dropped, k.RingFull+f.RingFull, k.FillEmpty+f.FillEmpty
	k.InvalidFill, k.InvalidTx, k.TxEmpty = k.InvalidFill+f.InvalidFill, k.InvalidTx+f.InvalidTx, k.TxEmpty+f.TxEmpty
	s.Retries, s.Busy = s.Retries+former.Retries, s.Busy+former.Busy
	s.Latencies.Add(former.Latencies)
	return s
}

// stats are of all queues of a unit.
func (u *unit) stats() []QueueStats {
	var all []QueueStats
	for _, q := range u.queues {
		all = append(all, u.ownStats(q))
		if peer := q.thread.Peer(); peer != nil {
			kernel, _ := q.thread.PeerStatistics()
			all = append(all, QueueStats{
				Worker: u.spec.Name, NIC: peer.NIC().Name, Queue: q.number, Kernel: kernel, Retries: peer.Retries(),
				Live: &Live{Levels: peer.Levels(), CPU: q.cpu, Mode: peer.Mode(), Stalled: q.stalled.Load()},
			})
		}
	}
	return all
}

func (u *unit) ownStats(q *queue) QueueStats {
	socket := q.thread.Socket()
	// A NIC that has gone tells nothing more, and the worker's end says so.
	kernel, _ := q.thread.Statistics()
	live := Live{Levels: socket.Levels(), CPU: q.cpu, Mode: socket.Mode(), Stalled: q.stalled.Load()}
	live.Frames, live.Free, live.Lost = q.thread.Frames()
	return QueueStats{
		Worker: u.spec.Name, NIC: socket.NIC().Name, Queue: q.number, Handlers: worker.Merge(q.thread.Counts()), Kernel: kernel,
		Retries: socket.Retries(), Busy: q.thread.Busy(), Latencies: q.thread.Latencies(), Live: &live,
	}
}

// Stats are of all queues that a worker serves or has served; an empty name is all workers. They are sorted.
func (m *Manager) Stats(name string) ([]QueueStats, error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	found := maps.Clone(m.past)
	known := name == "" || m.entries[name] != nil
	for _, one := range m.entries {
		if one.unit == nil {
			continue
		}
		for _, stats := range one.unit.stats() {
			found[stats.port()] = stats.plus(m.past[stats.port()])
		}
	}
	var all []QueueStats
	for _, stats := range found {
		if name == "" || stats.Worker == name {
			all, known = append(all, stats), true
		}
	}
	if !known {
		return nil, fmt.Errorf("%w: %q", ErrUnknown, name)
	}
	slices.SortFunc(all, func(a, b QueueStats) int {
		return cmp.Or(cmp.Compare(a.Worker, b.Worker), cmp.Compare(a.NIC, b.NIC), cmp.Compare(a.Queue, b.Queue))
	})
	return all, nil
}
