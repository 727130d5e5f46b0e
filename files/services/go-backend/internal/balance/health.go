package balance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
)

// health is what checks have shown of a backend.
type health struct {
	alive   bool
	since   time.Time
	fault   string // of the last check
	asked   bool
	streak  int // of results in turn that speak against alive
	nextHop [6]byte
}

// take counts a result. The first decides at once, as nothing is known before it.
func (h *health) take(fault error, fall, rise int) {
	h.fault = ""
	if fault != nil {
		h.fault = fault.Error()
	}
	passed, needed := fault == nil, rise
	if h.alive {
		needed = fall
	}
	if !h.asked {
		needed = 1
	}
	h.asked = true
	if passed == h.alive {
		h.streak = 0
		return
	}
	if h.streak++; h.streak >= needed {
		h.alive, h.streak = passed, 0
	}
}

// watch asks a backend again and again, and calls first when it was asked once.
func (b *Balancer) watch(ctx context.Context, number int, first func()) {
	defer first()
	for {
		began := time.Now()
		limited, cancel := context.WithTimeout(ctx, b.config.timeout())
		nextHop, fault := b.probe(limited, b.config.Backends[number])
		cancel()
		if ctx.Err() != nil {
			return
		}
		b.report(number, nextHop, fault)
		first()
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(began.Add(b.config.interval()))):
		}
	}
}

// ask checks a backend, and looks up the station that the way to it begins with.
func (b *Balancer) ask(ctx context.Context, backend Backend) ([6]byte, error) {
	target := net.JoinHostPort(backend.Address.String(), strconv.Itoa(b.config.HealthPort))
	var err error
	switch b.config.HealthCheck {
	case "tcp":
		err = connect(ctx, target)
	case "http":
		err = b.get(ctx, target)
	}
	if err != nil {
		return [6]byte{}, err
	}
	return b.nic.station(ctx, backend.Address)
}

func connect(ctx context.Context, target string) error {
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", target)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	// Reset, as a connection that is closed would be remembered for a minute, and there is one a second.
	_ = connection.(*net.TCPConn).SetLinger(0)
	return connection.Close()
}

// client asks once for each connection, and goes nowhere else.
var client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, Proxy: nil},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (b *Balancer) get(ctx context.Context, target string) error {
	url := "http://" + target + b.config.HealthPath
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Host = b.config.HealthHost
	request.Header.Set("User-Agent", "tripod-balance")
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode < 200 || answer.StatusCode > 399 {
		return fmt.Errorf("GET %s: status %d", url, answer.StatusCode)
	}
	if _, err := io.CopyN(io.Discard, answer.Body, 1<<16); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("GET %s: %w", url, err)
	}
	return nil
}

// station returns the MAC address that packets to an address are sent to, as the kernel does: the host's own or a router's.
// The check before has made the kernel look for it; without one a datagram does.
func (n NIC) station(ctx context.Context, to netip.Addr) ([6]byte, error) {
	routes, err := netlink.RouteGet(to.AsSlice())
	if err != nil || len(routes) == 0 {
		return [6]byte{}, fmt.Errorf("no route to %s: %w", to, err)
	}
	if index := routes[0].LinkIndex; index != n.Index {
		return [6]byte{}, fmt.Errorf("the route to %s leaves by interface %d, not by %s", to, index, n.Name)
	}
	hop := net.IP(to.AsSlice())
	if routes[0].Gw != nil {
		hop = routes[0].Gw
	}
	family := netlink.FAMILY_V4
	if hop.To4() == nil {
		family = netlink.FAMILY_V6
	}
	for tries := 0; ; tries++ {
		neighbours, err := netlink.NeighList(n.Index, family)
		if err != nil {
			return [6]byte{}, fmt.Errorf("read the neighbours of %s: %w", n.Name, err)
		}
		for _, one := range neighbours {
			const known = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE | netlink.NUD_PERMANENT
			if one.IP.Equal(hop) && one.State&known != 0 && len(one.HardwareAddr) == 6 {
				return [6]byte(one.HardwareAddr), nil
			}
		}
		if tries == 0 {
			const discard = 9
			if connection, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: hop, Port: discard}); err == nil {
				_, _ = connection.Write(nil)
				_ = connection.Close()
			}
		}
		select {
		case <-ctx.Done():
			return [6]byte{}, fmt.Errorf("%s has no neighbour %s", n.Name, hop)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
