package balance

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"tripod/go-backend/internal/ip"
	"tripod/go-backend/internal/worker"
)

// Balancer knows which backends live. One serves all workers of a NIC.
type Balancer struct {
	config Config
	nic    NIC
	log    *slog.Logger
	probe  func(context.Context, Backend) ([6]byte, error) // a check, and the station that the way to it begins with
	addresses

	routes atomic.Pointer[routes]

	publishing sync.Mutex // taken before lock

	lock     sync.Mutex
	stale    bool // routes are not what health says
	health   []health
	handlers []*handler
	running  sync.WaitGroup
}

// routes is what workers go by; it is never changed, but replaced.
type routes struct {
	table   table
	tunnels []tunnel // by backend
}

// Status is what is known of a backend.
type Status struct {
	Name    string
	Address netip.Addr
	Weight  int
	// Alive is whether it gets packets, and Since from when on that is so.
	Alive bool
	Since time.Time
	// Fault is why the last check failed, or empty.
	Fault string
	// Share is its part of all flows, 0 to 1.
	Share float64
	// Packets is how many it was sent.
	Packets uint64
}

// New returns a balancer that leaves by a NIC, none of whose backends lives until Start. The log gets what changes.
func New(config Config, nic NIC, log *slog.Logger) (*Balancer, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config = config.complete()
	if err := config.fits(nic); err != nil {
		return nil, err
	}
	b := &Balancer{
		config: config, nic: nic, log: log.With("nic", nic.Name), addresses: newAddresses(config.Addresses),
		health: make([]health, len(config.Backends)),
	}
	b.probe = b.ask
	for i := range b.health {
		b.health[i] = health{since: time.Now(), fault: "it was not asked yet"}
	}
	b.stale = true
	b.publish()
	return b, nil
}

// patience is how long Start waits for first answers: who starts a balancer keeps others waiting. A backend that takes longer
// is in when it has answered.
const patience = time.Second

// Inherit takes over what another balancer, still at work, knows of the backends that both have. It is called before Start.
func (b *Balancer) Inherit(former *Balancer) {
	former.lock.Lock()
	known := make(map[netip.Addr]health)
	for i, backend := range former.config.Backends {
		known[backend.Address] = former.health[i]
	}
	former.lock.Unlock()
	b.lock.Lock()
	for i, backend := range b.config.Backends {
		if health := known[backend.Address]; health.asked {
			b.health[i], b.stale = health, true
		}
	}
	b.lock.Unlock()
	b.publish()
}

// Start looks after the backends until the context of its life ends. It returns when each of which nothing is known was asked
// once, after a second, or when the other context ends. Wait waits for the end.
func (b *Balancer) Start(life, waiting context.Context) {
	var first sync.WaitGroup
	for i := range b.config.Backends {
		answered := func() {}
		if !b.known(i) {
			first.Add(1)
			answered = sync.OnceFunc(first.Done)
		}
		b.running.Add(1)
		go func() {
			defer b.running.Done()
			b.watch(life, i, answered)
		}()
	}
	all := make(chan struct{})
	go func() {
		defer close(all)
		first.Wait()
	}()
	select {
	case <-all:
	case <-time.After(patience):
	case <-waiting.Done():
	}
}

func (b *Balancer) known(number int) bool {
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.health[number].asked
}

// Wait waits until nobody is asked any more.
func (b *Balancer) Wait() { b.running.Wait() }

// Handler returns a handler for one worker.
func (b *Balancer) Handler() worker.Handler {
	b.lock.Lock()
	defer b.lock.Unlock()
	h := &handler{
		balancer: b, batch: make([]uint32, len(b.config.Backends)), packets: make([]atomic.Uint64, len(b.config.Backends)),
	}
	// A tunnel is a path that begins here: what says so is the address that the client takes it to lead to.
	var v4, v6 netip.Addr
	for _, address := range b.config.Addresses {
		if address.Is4() {
			v4 = address
		} else {
			v6 = address
		}
	}
	h.errors = ip.NewErrors(v4, v6, b.config.ErrorsPerSecond)
	b.handlers = append(b.handlers, h)
	return h
}

// Backends is what is known of each, in the config's order.
func (b *Balancer) Backends() []Status {
	b.lock.Lock()
	defer b.lock.Unlock()
	shares := b.routes.Load().table.shares(len(b.config.Backends))
	all := make([]Status, len(shares))
	for i, backend := range b.config.Backends {
		health := &b.health[i]
		all[i] = Status{
			Name: backend.Name, Address: backend.Address, Weight: backend.Weight, Alive: health.alive, Since: health.since,
			Fault: health.fault, Share: float64(shares[i]) / slots,
		}
		for _, h := range b.handlers {
			all[i].Packets += h.packets[i].Load()
		}
	}
	return all
}

// publish lets workers go by what is known. A table takes a while to fill: of many changes at once, the first is published
// alone, and all that came meanwhile together.
func (b *Balancer) publish() {
	b.publishing.Lock()
	defer b.publishing.Unlock()
	next, alive := &routes{tunnels: make([]tunnel, len(b.config.Backends))}, make([]bool, len(b.config.Backends))
	b.lock.Lock()
	stale := b.stale
	b.stale = false
	for i, backend := range b.config.Backends {
		alive[i] = b.health[i].alive
		next.tunnels[i] = b.tunnel(backend.Address, b.health[i].nextHop)
	}
	b.lock.Unlock()
	if stale {
		next.table.fill(b.config.Backends, alive)
		b.routes.Store(next)
	}
}

func (b *Balancer) tunnel(to netip.Addr, nextHop [6]byte) tunnel {
	t := tunnel{v6: to.Is6(), gue: b.config.Encapsulation == "gue", port: uint16(b.config.GUEPort), nextHop: nextHop}
	if source := b.config.source(to); t.v6 {
		t.source16, t.backend16 = source.As16(), to.As16()
	} else {
		t.source4, t.backend4 = source.As4(), to.As4()
	}
	return t
}

// report takes the result of a check in.
func (b *Balancer) report(number int, nextHop [6]byte, fault error) {
	if b.learn(number, nextHop, fault) {
		b.publish()
	}
}

// learn returns whether workers must know of a result.
func (b *Balancer) learn(number int, nextHop [6]byte, fault error) bool {
	b.lock.Lock()
	defer b.lock.Unlock()
	health := &b.health[number]
	before, hop := health.alive, health.nextHop
	health.take(fault, b.config.HealthFall, b.config.HealthRise)
	if fault == nil {
		health.nextHop = nextHop
	}
	if health.alive != before {
		health.since = time.Now()
		backend := b.config.Backends[number]
		b.log.Warn(map[bool]string{true: "backend is in", false: "backend is out"}[health.alive],
			"backend", backend.Name, "address", backend.Address.String(), "fault", health.fault)
	}
	changed := health.alive != before || health.alive && health.nextHop != hop
	b.stale = b.stale || changed
	return changed
}
