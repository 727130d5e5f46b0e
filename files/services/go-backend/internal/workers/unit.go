package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"

	"tripod/go-backend/internal/capture"
	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/privilege"
	"tripod/go-backend/internal/umem"
	"tripod/go-backend/internal/worker"
	"tripod/go-backend/internal/xsk"
)

// unit is a worker by name at work: packet memory, and for each of its queues a socket and a thread.
type unit struct {
	spec    Spec
	log     *slog.Logger
	nics    []*xsk.NIC // its own, and its peer
	maps    []socketMap
	area    *umem.Area
	group   *xsk.Group
	service *service
	queues  []*queue
	cancel  context.CancelFunc // of the watchdogs
}

// queue is one thread of a unit.
type queue struct {
	number  int
	cpu     int // changed while changes are locked out
	thread  *worker.Worker
	stalled atomic.Bool
	before  progress // of the last inspection
}

// socketMap is the map of sockets of the program on a NIC.
type socketMap struct {
	*ebpf.Map
	id ebpf.MapID
}

// suits returns everything about this host's NICs, as they are now, and its CPUs that a spec cannot do with.
func (s *Spec) suits() ([]*xsk.NIC, error) {
	var nics []*xsk.NIC
	faults := []error{checkCPUs(s.CPUs)}
	for _, name := range s.nics() {
		nic, err := xsk.LookUp(name)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		nics = append(nics, nic)
		for _, number := range s.Queues {
			if err := s.socket(number).Suits(nic, s.memory(umem.AnyNode).Room()); err != nil {
				faults = append(faults, fmt.Errorf("queue %d of %s: %w", number, name, err))
			}
		}
	}
	return nics, errors.Join(faults...)
}

// open starts a unit, or leaves nothing behind. Packets come to its handler from here on. CPUs that others have are taken.
func open(ctx context.Context, spec Spec, root dataplane.Root, taken map[int]bool, log *slog.Logger) (*unit, error) {
	u := &unit{spec: spec, log: log.With("worker", spec.Name), cancel: func() {}}
	err := privilege.Opening(func() error { return u.open(ctx, root, taken) })
	if err != nil {
		return nil, errors.Join(err, u.stop())
	}
	u.watch()
	return u, nil
}

func (u *unit) open(ctx context.Context, root dataplane.Root, taken map[int]bool) (err error) {
	if u.nics, err = u.spec.suits(); err != nil {
		return err
	}
	for _, nic := range u.nics {
		sockets, err := openSockets(ctx, root, nic.Name)
		if err != nil {
			return err
		}
		u.maps = append(u.maps, sockets)
	}
	node := u.nics[0].Node
	if u.spec.Node != nil {
		node = *u.spec.Node
	}
	if u.area, err = umem.New(u.spec.memory(node)); err != nil {
		return err
	}
	u.group = xsk.NewGroup(u.area, u.log)
	if u.service, err = u.serve(ctx, u.spec); err != nil {
		return err
	}
	cpus, err := u.cpus(u.spec, taken)
	if err != nil {
		return err
	}
	for i, number := range u.spec.Queues {
		thread, err := u.start(number, cpus[i], u.service.handlers[i])
		if err != nil {
			return err
		}
		u.queues = append(u.queues, &queue{number: number, cpu: cpus[i], thread: thread})
	}
	return nil
}

func openSockets(ctx context.Context, root dataplane.Root, nic string) (socketMap, error) {
	attached, err := root.Interface(ctx, nic)
	if err != nil {
		return socketMap{}, err
	}
	sockets, err := attached.OpenSockets()
	if err != nil {
		return socketMap{}, err
	}
	info, err := sockets.Info()
	if err != nil {
		return socketMap{}, errors.Join(fmt.Errorf("map of sockets of %s: %w", nic, err), sockets.Close())
	}
	id, _ := info.ID()
	return socketMap{sockets, id}, nil
}

// serve starts the service of a spec that has the unit's sockets, beside the one that it has.
func (u *unit) serve(ctx context.Context, spec Spec) (*service, error) {
	var peer *xsk.NIC
	if len(u.nics) > 1 {
		peer = u.nics[1]
	}
	made, err := spec.kind.serve(len(spec.Queues), u.nics[0], peer, u.log)
	if err != nil {
		return nil, err
	}
	for i, number := range spec.Queues {
		tap := capture.NewTap(made.handlers[i], spec.NIC, number)
		made.handlers[i], made.taps = tap, append(made.taps, tap)
	}
	made.start(ctx, u.service)
	return made, nil
}

// cpus returns one for each queue: those that the spec names, else what is best.
func (u *unit) cpus(spec Spec, taken map[int]bool) ([]int, error) {
	if len(spec.CPUs) > 0 {
		return slices.Clone(spec.CPUs), nil
	}
	allowed, err := worker.AllowedCPUs()
	if err != nil {
		return nil, err
	}
	return chooseCPUs(len(spec.Queues), allowed, nodeCPUs(u.nics[0].Node), taken), nil
}

// start opens the sockets of a queue and lets a thread serve them.
func (u *unit) start(number, cpu int, handler worker.Handler) (*worker.Worker, error) {
	pool, err := u.area.Pool(u.spec.FrameCount)
	if err != nil {
		return nil, err
	}
	config := worker.Config{
		Sockets: u.maps[0].Map, Handler: handler, CPU: cpu, Batch: u.spec.Batch, Spin: u.spec.Spin, Log: u.log,
	}
	of := u.spec.socket(number)
	if config.Socket, err = u.group.Open(of, pool); err != nil {
		return nil, err
	}
	if len(u.nics) > 1 {
		of.Interface, config.PeerSockets = u.nics[1].Name, u.maps[1].Map
		if config.Peer, err = u.group.Open(of, pool); err != nil {
			return nil, err
		}
	}
	return worker.Start(config)
}

// watch starts the watchdogs, and ends those of before.
func (u *unit) watch() {
	u.cancel()
	var ctx context.Context
	ctx, u.cancel = context.WithCancel(context.Background())
	for _, q := range u.queues {
		dog := worker.Watchdog{
			Limit:    time.Duration(u.spec.WatchdogMs) * time.Millisecond,
			Diverted: q.stalled.Load(),
			Stalled: func(_ *worker.Worker, err error) {
				q.stalled.Store(true)
				u.log.Error("a worker stalls, its packets go to the network stack", "queue", q.number, "error", err)
			},
			Resumed: func(_ *worker.Worker, err error) {
				q.stalled.Store(false)
				u.log.Warn("a worker that had stalled goes on", "queue", q.number, "error", err)
			},
		}
		go dog.Watch(ctx, q.thread)
	}
}

// become makes a unit another that has the same sockets, on these CPUs and with this service. No packet is lost by that.
func (u *unit) become(spec Spec, cpus []int, next *service) error {
	if err := u.move(cpus); err != nil {
		return err
	}
	for i, q := range u.queues {
		if next == u.service {
			break
		}
		if err := q.thread.Use(next.handlers[i]); err != nil {
			return err
		}
	}
	u.spec, u.service = spec, next
	u.watch()
	return nil
}

// onCPUs are those that the threads have.
func (u *unit) onCPUs() []int {
	cpus := make([]int, len(u.queues))
	for i, q := range u.queues {
		cpus[i] = q.cpu
	}
	return cpus
}

// move lets the threads run on other CPUs, one for each queue.
func (u *unit) move(cpus []int) error {
	for i, q := range u.queues {
		if q.cpu == cpus[i] {
			continue
		}
		if err := q.thread.Move(cpus[i]); err != nil {
			return fmt.Errorf("queue %d: %w", q.number, err)
		}
		q.cpu = cpus[i]
	}
	return nil
}

// leave lets packets go to the stack, all queues at once, and waits until what has come is handled. A thread that does not come
// back from its handler is not waited for, and told of: it ends when it does.
func (u *unit) leave() error {
	for _, q := range u.queues {
		q.thread.Leave()
	}
	const look = 5 * time.Millisecond
	for _, q := range u.queues {
		for !ended(q.thread) {
			if err := u.stalls(); err != nil {
				return err
			}
			select {
			case <-q.thread.Finished():
			case <-time.After(look):
			}
		}
	}
	return nil
}

// stop ends a unit, however long that takes, and gives everything back. The error says what went wrong since the start.
func (u *unit) stop() error {
	for _, q := range u.queues {
		q.thread.Leave()
	}
	var faults []error
	for _, q := range u.queues {
		if err := q.thread.Wait(); err != nil {
			faults = append(faults, fmt.Errorf("queue %d: %w", q.number, err))
		}
	}
	u.cancel() // not before: a handler that stalls meanwhile is to keep no packets from the stack
	if u.service != nil {
		u.service.stop()
	}
	return errors.Join(append(faults, u.release())...)
}

func (u *unit) release() error {
	var faults []error
	if u.group != nil {
		faults = append(faults, u.group.Close())
	}
	if u.area != nil {
		faults = append(faults, u.area.Close())
	}
	for _, sockets := range u.maps {
		faults = append(faults, sockets.Close())
	}
	return errors.Join(faults...)
}
