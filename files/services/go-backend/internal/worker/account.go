package worker

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"tripod/go-backend/internal/xsk"
)

// How long a worker that ends waits for packets that the program has sent its way, and for the NIC to take what is to be sent.
const (
	quiet   = 10 * time.Millisecond
	patient = 100 * time.Millisecond
)

// Stop diverts the queue's packets to the stack, handles those that are here already, and closes the socket. The error says
// what went wrong since the start.
func (w *Worker) Stop() error {
	w.Leave()
	return w.Wait()
}

// Leave is Stop for who does not wait.
func (w *Worker) Leave() { w.stopping.Store(true) }

// Wait waits until the worker has ended.
func (w *Worker) Wait() error {
	<-w.finished
	w.lock.Lock()
	defer w.lock.Unlock()
	return w.result
}

// Finished is closed when the worker has ended.
func (w *Worker) Finished() <-chan struct{} { return w.finished }

// end closes what was drained, and keeps its account.
func (w *Worker) end(faults []error) {
	w.lock.Lock()
	defer w.lock.Unlock()
	pool := w.config.Socket.Pool()
	lost, unsent := pool.Size()-pool.Len(), 0
	for i := range w.ports {
		receiving, sending := w.ports[i].socket.Held()
		lost, unsent = lost-receiving-sending, unsent+sending
	}
	if lost != 0 {
		faults = append(faults, fmt.Errorf("%d frames of queue %d of %s are missing",
			lost, w.config.Socket.Queue(), w.config.Socket.NIC().Name))
	}
	var dropped, full uint64
	for i := range w.ports {
		port := &w.ports[i]
		statistics, err := port.socket.Statistics()
		port.last = statistics
		dropped, full = dropped+statistics.Dropped, full+statistics.RingFull
		faults = append(faults, err, port.socket.Close())
	}
	var packets uint64
	for _, counts := range w.counts() {
		packets += counts.Packets
	}
	w.log.Info("worker ended", "packets", packets, "kernel_dropped", dropped, "kernel_ring_full", full, "unsent", unsent)
	w.busy, w.ended, w.result = w.meter.busy(), true, errors.Join(faults...)
}

// drain handles what is here of a queue whose packets are diverted. It is empty when a turn that began some time after the
// last packet finds none; that the thread may have been kept from running for longer says nothing.
func (w *Worker) drain() {
	for last := time.Now(); ; {
		waited := time.Since(last)
		n := w.turn()
		err := w.wake()
		if n > 0 {
			last = time.Now()
			continue
		}
		sending := 0
		for i := range w.ports {
			_, held := w.ports[i].socket.Held()
			sending += held
		}
		if waited >= patient || waited >= quiet && (sending == 0 || err != nil) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	// What is left is so because there was no room to send.
	for i := range w.ports {
		socket := w.ports[i].socket
		for n := socket.Receive(w.entries); n > 0; n = socket.Receive(w.entries) {
			for _, entry := range w.entries[:n] {
				socket.Pool().PutOne(entry.Addr)
				if !xsk.Continues(entry) {
					w.stage.Load().verdicts[stopped].Add(1)
				}
			}
		}
	}
}

// Counts is what became of packets, by the handlers that had them, the present one last. Handlers of one name may be added up.
func (w *Worker) Counts() []Counts {
	w.lock.Lock()
	defer w.lock.Unlock()
	return w.counts()
}

func (w *Worker) counts() []Counts {
	all := slices.Clone(w.past)
	for _, one := range w.former {
		all = append(all, one.counts())
	}
	return append(all, w.stage.Load().counts())
}

// retire adds up what former handlers counted that the worker's thread has done with, so that a change takes no memory for good.
func (w *Worker) retire() {
	now := w.turns.Load()
	w.former = slices.DeleteFunc(w.former, func(one formerStage) bool {
		if now == one.turns {
			return false // its batch may not be at its end
		}
		w.past = Merge(append(w.past, one.counts()))
		return true
	})
}

// Statistics is what the kernel counted for the queue; of a worker that has ended, until then.
func (w *Worker) Statistics() (xsk.Statistics, error) { return w.statistics(0) }

// PeerStatistics is the same of the peer's queue; of a worker without a peer, nothing.
func (w *Worker) PeerStatistics() (xsk.Statistics, error) {
	if w.config.Peer == nil {
		return xsk.Statistics{}, nil
	}
	return w.statistics(1)
}

func (w *Worker) statistics(port int) (xsk.Statistics, error) {
	w.lock.Lock()
	defer w.lock.Unlock()
	if w.ended {
		return w.ports[port].last, nil
	}
	return w.ports[port].socket.Statistics()
}

// Turns counts the worker's turns. A worker that lives takes one every 20 ms at least.
func (w *Worker) Turns() uint64 { return w.turns.Load() }

// Socket is what the worker serves, for Levels, Held, Retries, Mode and NIC.
func (w *Worker) Socket() *xsk.Socket { return w.config.Socket }

// Peer is the socket that it forwards by, or nil.
func (w *Worker) Peer() *xsk.Socket { return w.config.Peer }
