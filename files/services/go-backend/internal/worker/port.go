package worker

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"tripod/go-backend/internal/xsk"
)

// port is one of the sockets that a worker serves.
type port struct {
	socket  *xsk.Socket
	sockets *ebpf.Map      // nil where no packets come by it
	sending []xsk.Desc     // of a batch
	last    xsk.Statistics // when the worker ended
}

func (c Config) ports() []port {
	all := []port{{socket: c.Socket, sockets: c.Sockets, sending: make([]xsk.Desc, 0, c.Batch)}}
	if c.Peer != nil {
		all = append(all, port{socket: c.Peer, sockets: c.PeerSockets, sending: make([]xsk.Desc, 0, c.Batch)})
	}
	return all
}

// checkPeer says why frames could not change sides.
func (c Config) checkPeer() error {
	switch {
	case c.Peer == nil:
		return nil
	case c.Peer == c.Socket:
		return fmt.Errorf("worker: queue %d of %s is its own peer", c.Socket.Queue(), c.Socket.NIC().Name)
	case c.Peer.Area() != c.Socket.Area() || c.Peer.Pool() != c.Socket.Pool():
		return fmt.Errorf("worker: queue %d of %s and its peer, queue %d of %s, have frames of two pools: open both in one group, "+
			"from one pool", c.Socket.Queue(), c.Socket.NIC().Name, c.Peer.Queue(), c.Peer.NIC().Name)
	}
	return nil
}

// Listen puts the sockets into their programs' maps, where they are not yet: the queues' packets come here.
func (w *Worker) Listen() error {
	for i := range w.ports {
		if w.ports[i].sockets == nil {
			continue
		}
		if err := w.ports[i].socket.Listen(w.ports[i].sockets); err != nil {
			return errors.Join(err, w.Divert())
		}
	}
	return nil
}

// Divert takes them out of the maps: the queues' packets go on to the kernel's stack.
func (w *Worker) Divert() error {
	var faults []error
	for i := range w.ports {
		if w.ports[i].sockets != nil {
			faults = append(faults, w.ports[i].socket.Ignore(w.ports[i].sockets))
		}
	}
	return errors.Join(faults...)
}

// wake calls the kernel for every port where it sleeps.
func (w *Worker) wake() error {
	var worst error
	for i := range w.ports {
		worst = xsk.Worse(worst, w.ports[i].socket.Wake())
	}
	return worst
}
