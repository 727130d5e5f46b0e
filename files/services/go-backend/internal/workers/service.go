package workers

import (
	"context"
	"fmt"
	"io"

	"tripod/go-backend/internal/balance"
	"tripod/go-backend/internal/capture"
)

// Backends are those that workers spread flows over, by worker; an empty name is all workers that do.
func (m *Manager) Backends(name string) (map[string][]balance.Status, error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if name != "" && m.entries[name] == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknown, name)
	}
	found := make(map[string][]balance.Status)
	for worker, one := range m.entries {
		if (name == "" || name == worker) && one.unit != nil && one.unit.service.balancer != nil {
			found[worker] = one.unit.service.balancer.Backends()
		}
	}
	return found, nil
}

// Capture writes packets that come to a worker as a pcapng file, until a limit is reached, the context ends, or the worker is
// stopped or gets another handler. An ErrInvalid has everything that is wrong with a config.
func (m *Manager) Capture(ctx context.Context, name string, config capture.Config, to io.Writer) (capture.Result, error) {
	if err := config.Validate(); err != nil {
		return capture.Result{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	service, err := m.serviceOf(name)
	if err != nil {
		return capture.Result{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(service.life, cancel)()
	return capture.Run(ctx, config, service.taps, to)
}

func (m *Manager) serviceOf(name string) (*service, error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	one, there := m.entries[name]
	if !there {
		return nil, fmt.Errorf("%w: %q", ErrUnknown, name)
	}
	if one.unit == nil {
		return nil, fmt.Errorf("worker %s does not run", name)
	}
	return one.unit.service, nil
}
