package workers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/worker"
	"tripod/go-backend/internal/xsk"
)

// State is one word for what a worker does.
type State string

// States.
const (
	Running State = "running"
	// Stopped is so because somebody stopped it.
	Stopped State = "stopped"
	// Failed does not run as desired, for a reason that is told.
	Failed State = "failed"
)

// States are those that a worker can have.
func States() []State { return []State{Running, Stopped, Failed} }

// Status is a worker by name, as it is.
type Status struct {
	Name, NIC, Handler string
	State              State
	// Reason is why it failed.
	Reason string
	// Memory is where its frames are, and Fallback why not where they were requested to be.
	Memory, Fallback string
	Queues           []QueueStatus
}

// QueueStatus is a queue that a worker serves.
type QueueStatus struct {
	Queue, CPU int
	Mode       xsk.Mode
	Stalled    bool
}

// List returns all workers, sorted by name.
func (m *Manager) List() []Status {
	m.lock.Lock()
	defer m.lock.Unlock()
	var all []Status
	for _, name := range slices.Sorted(maps.Keys(m.entries)) {
		status := m.entries[name].status()
		status.Name = name // of one that is about to go, the spec is nobody's
		all = append(all, status)
	}
	return all
}

// Get returns one.
func (m *Manager) Get(name string) (Status, error) {
	for _, status := range m.List() {
		if status.Name == name {
			return status, nil
		}
	}
	return Status{}, fmt.Errorf("%w: %q", ErrUnknown, name)
}

func (e *entry) status() Status {
	spec := e.desired
	if e.unit != nil {
		spec = e.unit.spec
	}
	status := Status{Name: spec.Name, NIC: spec.NIC, Handler: spec.Handler, State: Running}
	if e.stopped {
		status.State = Stopped
	}
	if err := e.problem(); err != nil {
		status.State, status.Reason = Failed, err.Error()
	}
	if e.unit == nil {
		return status
	}
	status.Memory = e.unit.area.Placement().String()
	if err := e.unit.area.FellBack(); err != nil {
		status.Fallback = err.Error()
	}
	for _, q := range e.unit.queues {
		status.Queues = append(status.Queues, QueueStatus{
			Queue: q.number, CPU: q.cpu, Mode: q.thread.Socket().Mode(), Stalled: q.stalled.Load(),
		})
	}
	return status
}

// problem says why a worker does not do what it is there for.
func (e *entry) problem() error {
	if e.stopped {
		return nil
	}
	faults := []error{e.fault, e.program}
	if e.unit == nil {
		if e.fault == nil {
			faults = append(faults, errors.New("it is not started yet"))
		}
		return errors.Join(faults...)
	}
	faults = append(faults, e.unit.stalls())
	for _, q := range e.unit.queues {
		if _, _, lost := q.thread.Frames(); lost != 0 {
			faults = append(faults, fmt.Errorf("queue %d has lost %d frames, which is a defect", q.number, lost))
		}
		if q.before.stuck != "" {
			faults = append(faults, fmt.Errorf("queue %d: %s", q.number, q.before.stuck))
		}
	}
	return errors.Join(faults...)
}

// stalls says which threads do not come back from their handler.
func (u *unit) stalls() error {
	var faults []error
	for _, q := range u.queues {
		if q.stalled.Load() && !ended(q.thread) {
			faults = append(faults, fmt.Errorf("queue %d stalls in its handler, its packets go to the network stack", q.number))
		}
	}
	return errors.Join(faults...)
}

// Err returns why workers do not do what they are there for, or nil.
func (m *Manager) Err() error {
	m.lock.Lock()
	defer m.lock.Unlock()
	faults := []error{m.invalid}
	for _, name := range slices.Sorted(maps.Keys(m.entries)) {
		if err := m.entries[name].problem(); err != nil {
			faults = append(faults, fmt.Errorf("worker %s: %w", name, err))
		}
	}
	return errors.Join(faults...)
}

// Digest is of the file of workers as it was last read, SHA-256 in hex, once what it says was carried out as far as it could
// be; empty before.
func (m *Manager) Digest() string {
	m.lock.Lock()
	defer m.lock.Unlock()
	return m.digest
}

// progress is how far a queue has come.
type progress struct {
	packets     uint64
	rx, tx      int // levels
	turns       uint64
	inspections int
	stuck       string // why it does not go on
}

// after compares with what was before.
func (p progress) after(before progress) progress {
	p.inspections = before.inspections + 1
	switch {
	case before.inspections == 0:
	case p.rx > 0 && before.rx > 0 && p.packets == before.packets:
		p.stuck = fmt.Sprintf("its rx ring stands still with %d packets in it", p.rx)
	case p.tx > 0 && p.tx == before.tx && p.packets == before.packets && p.turns > before.turns:
		p.stuck = fmt.Sprintf("its tx ring stands still with %d packets in it: is the NIC down?", p.tx)
	}
	return p
}

// inspect ends what cannot go on, so that it is started anew: workers with a queue whose thread has ended, or whose program's
// map is not the one that their sockets are in.
func (m *Manager) inspect(ctx context.Context) {
	for _, name := range slices.Sorted(maps.Keys(m.entries)) {
		one := m.entries[name]
		if one.unit == nil {
			continue
		}
		m.lock.Lock()
		one.unit.look()
		m.lock.Unlock()
		replaced, err := one.unit.programs(ctx, m.root)
		m.lock.Lock()
		one.program = err
		m.lock.Unlock()
		if replaced || one.unit.broken() {
			m.log.Warn("worker is started anew", "worker", name, "map_replaced", replaced)
			m.note(name, one, m.quit(one))
		}
	}
}

// look compares how far the queues have come with the last time.
func (u *unit) look() {
	for _, q := range u.queues {
		levels, now := q.thread.Socket().Levels(), progress{turns: q.thread.Turns()}
		for _, counts := range q.thread.Counts() {
			now.packets += counts.Packets
		}
		now.rx, now.tx = levels.Rx, levels.Tx
		q.before = now.after(q.before)
	}
}

// broken tells whether a queue's thread has ended by itself.
func (u *unit) broken() bool {
	return slices.ContainsFunc(u.queues, func(q *queue) bool { return ended(q.thread) })
}

func ended(w *worker.Worker) bool {
	select {
	case <-w.Finished():
		return true
	default:
		return false
	}
}

// programs tells whether the program of a NIC has another map of sockets now. The error is a program that is not there: the
// sockets wait in the map for it.
func (u *unit) programs(ctx context.Context, root dataplane.Root) (replaced bool, err error) {
	var faults []error
	for i, nic := range u.nics {
		attached, err := root.Interface(ctx, nic.Name)
		if err != nil {
			faults = append(faults, err)
		} else if !attached.Uses(u.maps[i].id) {
			replaced = true
		}
	}
	return replaced, errors.Join(faults...)
}
