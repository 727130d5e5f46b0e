// Package workers runs what the file of workers says: it starts, changes, moves and stops workers by name, looks after them,
// and tells what they do.
package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/rescue"
)

// ErrUnknown is a worker that is not there.
var ErrUnknown = errors.New("no worker of this name")

// ErrInvalid is a request that no host could meet.
var ErrInvalid = errors.New("invalid request")

// Manager runs workers. Changes come one after the other; what is only looked at does not wait for them.
type Manager struct {
	root dataplane.Root
	path string
	log  *slog.Logger

	changing sync.Mutex // held over a change, which may take as long as a worker drains
	closed   bool

	lock    sync.Mutex // of all below, and of what a unit changes while it runs
	entries map[string]*entry
	past    map[port]QueueStats // of units that have ended
	invalid error               // of the file of workers, as it was last read
	digest  string              // of what was read then, once that was carried out
}

// entry is a worker by name, whether or not it runs.
type entry struct {
	desired Spec
	stopped bool  // by somebody, until somebody starts it
	unit    *unit // nil while it does not run
	fault   error // why it does not run as desired
	program error // why no packets come to it, as was last seen
}

// New returns a manager without workers, of the file at a path; empty for none ever. Sockets are put into the maps that are
// pinned under root.
func New(root dataplane.Root, path string, log *slog.Logger) *Manager {
	return &Manager{root: root, path: path, log: log, entries: make(map[string]*entry), past: make(map[port]QueueStats)}
}

// Run brings the workers of the file to life, and back to it where they fail, until the context ends.
func (m *Manager) Run(ctx context.Context, every time.Duration) {
	_ = rescue.Do("workers", func() error { return m.Reload(ctx) })
	rescue.Every(ctx, every, "workers", func() error { return m.tend(ctx) })
}

// tend looks after the workers once.
func (m *Manager) tend(ctx context.Context) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	m.inspect(ctx)
	return m.settle(ctx)
}

// Reload reads the file again and makes the workers what it says. Those that are in it as before do not notice. Where it is
// wrong nothing changes. Where a worker cannot be what it says the others are, and the error says why.
func (m *Manager) Reload(ctx context.Context) error {
	if m.path == "" {
		return nil
	}
	m.changing.Lock()
	defer m.changing.Unlock()
	specs, digest, err := Read(m.path)
	m.lock.Lock()
	m.invalid = err
	if err == nil {
		m.desire(specs)
	}
	m.lock.Unlock()
	if err == nil {
		err = m.settle(ctx)
	} else {
		m.log.Error("workers stay as they are", "error", err)
	}
	m.lock.Lock()
	defer m.lock.Unlock()
	m.digest = digest
	return err
}

// desire notes what is to be; of an entry that is to go, the spec becomes nobody's.
func (m *Manager) desire(specs []Spec) {
	for _, one := range m.entries {
		one.desired = Spec{}
	}
	for _, spec := range specs {
		if m.entries[spec.Name] == nil {
			m.entries[spec.Name] = &entry{}
		}
		m.entries[spec.Name].desired = spec
	}
}

// settle makes every worker what it is desired to be, as far as that can be now. Queues are given up before they are taken,
// as they may go from one worker to another.
func (m *Manager) settle(ctx context.Context) error {
	if m.closed {
		return errors.New("the service stops")
	}
	names := slices.Sorted(maps.Keys(m.entries))
	for _, name := range names {
		one := m.entries[name]
		if gone := one.desired.Name == ""; gone || one.stopped {
			err := m.quit(one)
			m.note(name, one, err)
			if gone && err == nil {
				m.lock.Lock()
				delete(m.entries, name)
				m.lock.Unlock()
			}
			continue
		}
		switch {
		case one.unit == nil:
		case one.unit.spec.equal(one.desired):
			m.note(name, one, nil)
		default:
			m.note(name, one, m.change(ctx, one))
		}
	}
	var faults []error
	for _, name := range names {
		one, there := m.entries[name]
		if there && one.unit == nil && !one.stopped {
			m.note(name, one, m.begin(ctx, one))
		}
		if there && one.fault != nil {
			faults = append(faults, fmt.Errorf("worker %s: %w", name, one.fault))
		}
	}
	return errors.Join(faults...)
}

// change makes a worker that runs what it is desired to be: in place where its sockets stay the same, else by ending it. A
// spec that this host cannot meet changes nothing.
func (m *Manager) change(ctx context.Context, one *entry) error {
	if _, err := one.desired.suits(); err != nil {
		return fmt.Errorf("it stays as it was: %w", err)
	}
	if !one.unit.spec.sameSockets(one.desired) {
		return m.quit(one) // and begin again
	}
	cpus := one.unit.onCPUs()
	if !slices.Equal(one.desired.CPUs, one.unit.spec.CPUs) {
		var err error
		if cpus, err = one.unit.cpus(one.desired, m.taken()); err != nil {
			return err
		}
	}
	former, next := one.unit.service, one.unit.service
	if !one.unit.spec.sameService(one.desired) {
		var err error
		if next, err = one.unit.serve(ctx, one.desired); err != nil {
			return err
		}
	}
	m.lock.Lock()
	err := one.unit.become(one.desired, cpus, next)
	m.lock.Unlock()
	if next == former {
		return err
	}
	if err != nil {
		next.stop()
		return err
	}
	former.stop()
	return nil
}

// begin starts a worker.
func (m *Manager) begin(ctx context.Context, one *entry) error {
	started, err := open(ctx, one.desired, m.root, m.taken(), m.log)
	if err != nil {
		return err
	}
	m.lock.Lock()
	defer m.lock.Unlock()
	one.unit = started
	return nil
}

// quit is end for a worker that can end: with a handler that does not return, it could be waited for without end.
func (m *Manager) quit(one *entry) error {
	if one.unit == nil {
		return nil
	}
	if err := one.unit.stalls(); err != nil {
		return err
	}
	if err := one.unit.leave(); err != nil {
		return err
	}
	m.end(one)
	return nil
}

// end stops a worker where it runs, and keeps its account. What went wrong is logged, as nobody can mend it any more.
func (m *Manager) end(one *entry) {
	if one.unit == nil {
		return
	}
	if err := one.unit.stop(); err != nil {
		m.log.Error("worker ended with an error", "worker", one.unit.spec.Name, "error", err)
	}
	m.lock.Lock()
	defer m.lock.Unlock()
	for _, stats := range one.unit.stats() {
		m.past[stats.port()] = stats.ended().plus(m.past[stats.port()])
	}
	one.unit, one.program = nil, nil
}

// note keeps why a worker is not as desired, and logs it once.
func (m *Manager) note(name string, one *entry, fault error) {
	if fault != nil && (one.fault == nil || one.fault.Error() != fault.Error()) {
		m.log.Error("worker cannot be as desired, and is tried again", "worker", name, "error", fault)
	}
	m.lock.Lock()
	defer m.lock.Unlock()
	one.fault = fault
}

// taken are the CPUs that workers have.
func (m *Manager) taken() map[int]bool {
	taken := make(map[int]bool)
	for _, one := range m.entries {
		if one.unit == nil {
			continue
		}
		for _, q := range one.unit.queues {
			taken[q.cpu] = true
		}
	}
	return taken
}

// Start lets a worker run again that was stopped.
func (m *Manager) Start(ctx context.Context, name string) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	one, err := m.find(name)
	if err != nil {
		return err
	}
	m.setStopped(one, false)
	_ = m.settle(ctx)
	return one.fault
}

// Stop lets the packets of a worker go to the stack, handles those that have come, and frees its queues. Where its handler does
// not return now, that comes later, and an error says so.
func (m *Manager) Stop(name string) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	one, err := m.find(name)
	if err != nil {
		return err
	}
	m.setStopped(one, true)
	return m.quit(one)
}

func (m *Manager) setStopped(one *entry, stopped bool) {
	m.lock.Lock()
	defer m.lock.Unlock()
	one.stopped, one.fault = stopped, nil
}

// Move lets a worker's threads run on other CPUs, one for each of its queues, until the file says others.
func (m *Manager) Move(name string, cpus []int) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	one, err := m.find(name)
	if err != nil {
		return err
	}
	if one.unit == nil {
		return fmt.Errorf("worker %s does not run", name)
	}
	if len(cpus) != len(one.unit.queues) {
		return fmt.Errorf("%w: %d CPUs for %d queues: give one for each", ErrInvalid, len(cpus), len(one.unit.queues))
	}
	if err := checkCPUs(cpus); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	m.lock.Lock()
	defer m.lock.Unlock()
	return one.unit.move(cpus)
}

// find must be called with changes locked out.
func (m *Manager) find(name string) (*entry, error) {
	one, there := m.entries[name]
	if !there {
		return nil, fmt.Errorf("%w: %q: there are %q", ErrUnknown, name, slices.Sorted(maps.Keys(m.entries)))
	}
	return one, nil
}

// Close drains and ends all workers at once; none starts any more.
func (m *Manager) Close() {
	m.changing.Lock()
	defer m.changing.Unlock()
	m.closed = true
	var all sync.WaitGroup
	for _, one := range m.entries {
		all.Add(1)
		go func() {
			defer all.Done()
			m.end(one)
		}()
	}
	all.Wait()
}
