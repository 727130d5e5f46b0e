package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"tripod/go-backend/internal/balance"
	"tripod/go-backend/internal/capture"
	"tripod/go-backend/internal/handlers"
	"tripod/go-backend/internal/worker"
	"tripod/go-backend/internal/xsk"
)

// kind is a handler with its options, which were found to be right.
type kind struct {
	// peer is the NIC that it forwards by; empty where it does not.
	peer string
	// serve makes its handlers for so many queues of a NIC, and of the peer where it forwards.
	serve func(queues int, nic, peer *xsk.NIC, log *slog.Logger) (*service, error)
}

// service is a kind at work.
type service struct {
	handlers []worker.Handler  // by queue
	taps     []*capture.Tap    // around them
	balancer *balance.Balancer // of the kind that has one
	// life is of what goes on beside the handlers.
	life   context.Context
	cancel context.CancelFunc
}

// start begins what goes on beside the handlers, with what the service before knows, which may be nil. It takes some time, or
// until the context ends.
func (s *service) start(ctx context.Context, former *service) {
	s.life, s.cancel = context.WithCancel(context.Background())
	if s.balancer == nil {
		return
	}
	if former != nil && former.balancer != nil {
		s.balancer.Inherit(former.balancer)
	}
	s.balancer.Start(s.life, ctx)
}

func (s *service) stop() {
	s.cancel()
	if s.balancer != nil {
		s.balancer.Wait()
	}
}

// kinds are the handlers that a worker can have, by name. A further one needs a line here.
var kinds = map[string]func(options json.RawMessage) (kind, error){
	"balance": readBalance,
	"capture": plain(forCapture{}),
	"echo":    readEcho,
	"forward": readForward,
	"reflect": plain(handlers.Reflect{}),
	"sink":    plain(handlers.Sink{}),
}

func newKind(name string, options json.RawMessage) (kind, error) {
	read, known := kinds[name]
	if !known {
		return kind{}, fmt.Errorf("handler %q: there are %s", name, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
	}
	if len(options) == 0 || string(options) == "null" {
		options = json.RawMessage("{}")
	}
	made, err := read(options)
	var faults []error
	for _, one := range each(err) {
		faults = append(faults, fmt.Errorf("options of handler %s: %w", name, one))
	}
	return made, errors.Join(faults...)
}

// repeated is a service of handlers that a function makes, one for each queue.
func repeated(queues int, handler func() (worker.Handler, error)) (*service, error) {
	s := &service{}
	for range queues {
		one, err := handler()
		if err != nil {
			return nil, err
		}
		s.handlers = append(s.handlers, one)
	}
	return s, nil
}

// plain is a handler without options, that all queues share.
func plain(handler worker.Handler) func(json.RawMessage) (kind, error) {
	return func(options json.RawMessage) (kind, error) {
		return kind{serve: func(queues int, _, _ *xsk.NIC, _ *slog.Logger) (*service, error) {
			return repeated(queues, func() (worker.Handler, error) { return handler, nil })
		}}, decode(options, new(struct{}))
	}
}

func readEcho(text json.RawMessage) (kind, error) {
	var options struct {
		Addresses []netip.Addr `json:"addresses"`
	}
	if err := decode(text, &options); err != nil {
		return kind{}, err
	}
	var faults []error
	if len(options.Addresses) == 0 {
		faults = append(faults, errors.New("addresses is empty: give one at least that it answers for"))
	}
	for _, address := range options.Addresses {
		if !address.IsValid() || address.IsUnspecified() || address.IsMulticast() || address.Zone() != "" {
			faults = append(faults, fmt.Errorf("addresses: %q is none that a station can have", address))
		}
	}
	return kind{serve: func(queues int, nic, _ *xsk.NIC, _ *slog.Logger) (*service, error) {
		return repeated(queues, func() (worker.Handler, error) { return handlers.NewEcho(nic.Address, options.Addresses), nil })
	}}, errors.Join(faults...)
}

// forCapture consumes packets that are there to be captured, which can be done of every handler's.
type forCapture struct{ handlers.Sink }

func (forCapture) Name() string { return "capture" }

// side is one of a forwarder's.
type side struct {
	NextHop station    `json:"next_hop"`
	V4      netip.Addr `json:"v4"`
	V6      netip.Addr `json:"v6"`
}

func (s side) port(nic *xsk.NIC) handlers.ForwardPort {
	return handlers.ForwardPort{MAC: nic.Address, NextHop: s.NextHop, MTU: nic.MTU, V4: s.V4, V6: s.V6}
}

// station is a MAC address.
type station [6]byte

// UnmarshalText reads one such as 02:00:00:00:00:01.
func (s *station) UnmarshalText(text []byte) error {
	address, err := net.ParseMAC(string(text))
	if err != nil || len(address) != len(s) {
		return fmt.Errorf("%q is no MAC address such as 02:00:00:00:00:01", text)
	}
	*s = station(address)
	return nil
}

// defaultErrors is how many ICMP messages a forwarder sends a second.
const defaultErrors = 100

func readForward(text json.RawMessage) (kind, error) {
	options := struct {
		Peer            string `json:"peer"`
		Near            side   `json:"near"`
		Far             side   `json:"far"`
		ErrorsPerSecond int    `json:"errors_per_second"`
	}{ErrorsPerSecond: defaultErrors}
	if err := decode(text, &options); err != nil {
		return kind{}, err
	}
	var faults []error
	if options.Peer == "" {
		faults = append(faults, errors.New("peer is missing: the NIC that packets leave by"))
	}
	forward := func(nic, peer *xsk.NIC) (worker.Handler, error) {
		return handlers.NewForward(handlers.ForwardConfig{
			Ports:           [2]handlers.ForwardPort{options.Near.port(nic), options.Far.port(peer)},
			ErrorsPerSecond: options.ErrorsPerSecond,
		})
	}
	// Of the NICs, which need not be there yet, nothing is wrong with these.
	_, err := forward(&xsk.NIC{Address: [6]byte{2, 1}, MTU: 1500}, &xsk.NIC{Address: [6]byte{2, 2}, MTU: 1500})
	return kind{peer: options.Peer, serve: func(queues int, nic, peer *xsk.NIC, _ *slog.Logger) (*service, error) {
		return repeated(queues, func() (worker.Handler, error) { return forward(nic, peer) })
	}}, errors.Join(append(faults, err)...)
}

func readBalance(text json.RawMessage) (kind, error) {
	var config balance.Config
	if err := decode(text, &config); err != nil {
		return kind{}, err
	}
	return kind{serve: func(queues int, nic, _ *xsk.NIC, log *slog.Logger) (*service, error) {
		balancer, err := balance.New(config, balance.NIC{Name: nic.Name, Index: nic.Index, MAC: nic.Address, MTU: nic.MTU}, log)
		if err != nil {
			return nil, err
		}
		s, err := repeated(queues, func() (worker.Handler, error) { return balancer.Handler(), nil })
		s.balancer = balancer
		return s, err
	}}, config.Validate()
}
