// Package xsk is AF_XDP sockets: each takes the packets of one NIC queue past the network stack into memory of package umem,
// and sends from there. See Documentation/networking/af_xdp.rst, and ring.go for who may touch what when.
//
//	area, err := umem.New(umem.Config{Frames: 8192, FrameSize: 4096, Node: nic.Node})
//	pool, err := area.Pool(config.Frames())
//	group := xsk.NewGroup(area, log)
//	socket, err := group.Open(xsk.Config{Interface: "eth0", Queue: 0}, pool)
//	err = socket.Listen(xskmap)
//
// A socket and its pool belong to one thread, which calls Receive, Transmit, Refill, Reclaim and the rest in turn.
package xsk

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/umem"
)

// Group is sockets that share one UMEM, of any queues and NICs. The kernel knows the UMEM by the sockets that are bound to
// it: the first brings it, later ones name any that is open. What the first is bound with (mode, multi-buffer frames), all
// have.
type Group struct {
	area *umem.Area
	log  *slog.Logger

	lock     sync.Mutex
	sockets  []*Socket
	metadata uint64 // bytes before a packet that the kernel looks for metadata in; 0 on kernels that do not
}

// NewGroup returns a group without sockets. The log gets warnings.
func NewGroup(area *umem.Area, log *slog.Logger) *Group {
	return &Group{area: area, log: log}
}

// Open binds a socket to a queue and fills its fill ring from a pool of the group's area. The error names NIC and queue, and
// nothing is left behind.
func (g *Group) Open(config Config, pool *umem.Pool) (*Socket, error) {
	config = config.complete()
	socket, err := g.open(config, pool)
	if err != nil {
		return nil, fmt.Errorf("open queue %d of %s: %w", config.Queue, config.Interface, err)
	}
	return socket, nil
}

func (g *Group) open(config Config, pool *umem.Pool) (*Socket, error) {
	g.lock.Lock()
	defer g.lock.Unlock()
	nic, err := LookUp(config.Interface)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(config.Check(), config.Suits(nic, g.area.Room()), g.fits(config, nic)); err != nil {
		return nil, err
	}
	if err := pool.Claim(config.Frames()); err != nil {
		return nil, err
	}
	socket := &Socket{config: config, nic: nic, group: g, area: g.area, pool: pool, fd: -1}
	if err := g.bind(socket); err != nil {
		return nil, errors.Join(err, socket.release())
	}
	g.sockets = append(g.sockets, socket)
	socket.Refill()
	return socket, nil
}

// fits says why a config does not go with the sockets that are open.
func (g *Group) fits(config Config, nic *NIC) error {
	if len(g.sockets) == 0 {
		return nil
	}
	first := g.sockets[0]
	name := fmt.Sprintf("queue %d of %s", first.config.Queue, first.config.Interface)
	var faults []error
	if slices.ContainsFunc(g.sockets, func(s *Socket) bool { return s.nic.Index == nic.Index && s.config.Queue == config.Queue }) {
		faults = append(faults, fmt.Errorf("%w: %w", unix.EBUSY, ErrBusy))
	}
	if first.config.MultiBuffer != config.MultiBuffer {
		faults = append(faults, fmt.Errorf("it shares its UMEM with %s: multi-buffer frames are for both or neither", name))
	}
	if zeroCopy := first.mode == ZeroCopy; config.Mode != Auto && zeroCopy != (config.Mode == ZeroCopy) {
		faults = append(faults, fmt.Errorf("it shares its UMEM with %s, which is in %s mode: %s mode needs a UMEM of its own",
			name, first.mode, config.Mode))
	}
	return errors.Join(faults...)
}

// bind makes the socket, its rings, and binds it.
func (g *Group) bind(s *Socket) error {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return explainSocket(err)
	}
	s.fd = fd
	address := unix.SockaddrXDP{Ifindex: uint32(s.nic.Index), QueueID: uint32(s.config.Queue)}
	if len(g.sockets) == 0 {
		if err := g.register(fd); err != nil {
			return err
		}
		address.Flags = s.config.bindFlags()
	} else {
		// The kernel has the flags from the first.
		address.Flags, address.SharedUmemFD = unix.XDP_SHARED_UMEM, uint32(g.sockets[0].fd)
	}
	if err := s.mapRings(); err != nil {
		return err
	}
	if err := s.config.BusyPoll.set(fd); err != nil {
		return err
	}
	// After a socket of the queue was closed, the kernel lets go of the queue in its own time (xp_release_deferred).
	for deadline := time.Now().Add(time.Second); ; time.Sleep(time.Millisecond) {
		err = unix.Bind(fd, &address)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return s.config.explainBind(err, kernelRelease())
		}
	}
	return s.readMode()
}

// bindFlags are those of the first socket of a UMEM.
func (c Config) bindFlags() uint16 {
	flags := uint16(unix.XDP_USE_NEED_WAKEUP)
	switch c.Mode {
	case ZeroCopy:
		flags |= unix.XDP_ZEROCOPY
	case Copy:
		flags |= unix.XDP_COPY
	}
	if c.MultiBuffer {
		flags |= unix.XDP_USE_SG
	}
	return flags
}

// register gives the UMEM to the kernel, with room for metadata where the kernel knows of it (6.8).
func (g *Group) register(fd int) error {
	memory := g.area.Memory()
	raiseMemlock(uint64(len(memory)), g.log)
	request := unix.XDPUmemReg{
		Addr: addressOf(memory), Len: uint64(len(memory)),
		Size: uint32(g.area.FrameSize()), Headroom: uint32(g.area.Headroom()),
		Flags: unix.XDP_UMEM_TX_METADATA_LEN, Tx_metadata_len: uint32(MetadataSize),
	}
	g.metadata = MetadataSize
	err := setsockopt(fd, unix.XDP_UMEM_REG, &request)
	if errors.Is(err, unix.EINVAL) {
		request.Flags, request.Tx_metadata_len, g.metadata = 0, 0, 0
		err = setsockopt(fd, unix.XDP_UMEM_REG, &request)
	}
	if err != nil {
		return explainRegister(err, len(memory))
	}
	return nil
}

// Close closes all sockets that are open.
func (g *Group) Close() error {
	g.lock.Lock()
	sockets := slices.Clone(g.sockets)
	g.lock.Unlock()
	var faults []error
	for _, socket := range sockets {
		faults = append(faults, socket.Close())
	}
	return errors.Join(faults...)
}

func (g *Group) remove(s *Socket) {
	g.lock.Lock()
	defer g.lock.Unlock()
	g.sockets = slices.DeleteFunc(g.sockets, func(other *Socket) bool { return other == s })
}
