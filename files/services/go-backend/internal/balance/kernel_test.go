package balance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/balance"
	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/umem"
	"tripod/go-backend/internal/worker"
	"tripod/go-backend/internal/xsk"
)

func TestMain(m *testing.M) { bpftest.Main(m) }

const (
	balanced4, balanced6 = "198.51.100.1", "2001:db8::80"
	members              = 3
)

// site is a client and some hosts behind a balancer, on one switch. Answers go from the hosts to the client directly.
type site struct {
	t        *testing.T
	balancer *balance.Balancer
	worker   *worker.Worker
	client   *bpftest.Namespace
	servers  [members]*server
}

// server is one host's.
type server struct {
	host     *bpftest.Namespace
	http     *http.Server
	listener net.Listener
}

func newSite(t *testing.T, encapsulation string, six bool) *site {
	t.Helper()
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	program := h.RedirectTo(name, netip.MustParseAddr(balanced4), netip.MustParseAddr(balanced6))
	hub := h.Switch(name)
	if err := bpftest.SetAddresses(name, "10.0.0.1/24", "fd00::1/64"); err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, client: h.Namespace()}
	hub.Join(s.client, "10.0.0.9/24", "fd00::9/64")
	s.client.Run(func() error {
		return errors.Join(route(balanced4+"/32", "10.0.0.1"), route(balanced6+"/128", "fd00::1"))
	})
	config := balance.Config{
		Addresses: []netip.Addr{netip.MustParseAddr(balanced4), netip.MustParseAddr(balanced6)}, Encapsulation: encapsulation,
		Sources: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}, HealthPort: 80, HealthCheck: "http",
		HealthInterval: 700, HealthTimeout: 700, // as a busy machine keeps
	}
	for i := range s.servers {
		number := i + 11
		addresses := []string{fmt.Sprintf("10.0.0.%d", number), fmt.Sprintf("fd00::%d", number)}
		one := &server{host: h.Namespace()}
		hub.Join(one.host, addresses[0]+"/24", addresses[1]+"/64")
		one.host.Run(func() error {
			return errors.Join(bpftest.SetAddresses("lo", balanced4+"/32", balanced6+"/128"), unpack(t))
		})
		one.serve(t, fmt.Sprint("b", i))
		s.servers[i] = one
		address := netip.MustParseAddr(addresses[0])
		if six {
			address = netip.MustParseAddr(addresses[1])
		}
		config.Backends = append(config.Backends, balance.Backend{Name: fmt.Sprint("b", i), Address: address})
	}
	s.start(name, program, config)
	return s
}

// start makes a worker balance.
func (s *site) start(name string, program *bpftest.Redirect, config balance.Config) {
	s.t.Helper()
	must := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	area, err := umem.New(umem.Config{Frames: 512, FrameSize: 4096, Node: umem.AnyNode})
	must(err)
	pool, err := area.Pool(512)
	must(err)
	socket, err := xsk.NewGroup(area, log).Open(xsk.Config{Interface: name, Rx: 128, Tx: 128, Fill: 256}, pool)
	must(err)
	link := socket.NIC()
	s.balancer, err = balance.New(config, balance.NIC{Name: name, Index: link.Index, MAC: link.Address, MTU: link.MTU}, log)
	must(err)
	ctx, cancel := context.WithCancel(s.t.Context())
	s.balancer.Start(ctx, ctx)
	alive := func(backend balance.Status) bool { return backend.Alive }
	for deadline := time.Now().Add(20 * time.Second); !all(s.balancer.Backends(), alive); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%+v", s.balancer.Backends())
		}
	}
	s.worker, err = worker.Start(worker.Config{
		Socket: socket, Sockets: program.Sockets, Handler: s.balancer.Handler(), CPU: worker.AnyCPU, Log: log,
	})
	must(err)
	s.t.Cleanup(func() {
		cancel()
		s.balancer.Wait()
		must(s.worker.Stop())
		must(area.Close())
	})
}

func all[T any](of []T, is func(T) bool) bool {
	return !slices.ContainsFunc(of, func(one T) bool { return !is(one) })
}

func route(to, by string) error {
	_, destination, err := net.ParseCIDR(to)
	if err != nil {
		return err
	}
	return netlink.RouteAdd(&netlink.Route{Dst: destination, Gw: net.ParseIP(by)})
}

// serve answers every request with a name, and large ones with much.
func (s *server) serve(t *testing.T, name string) {
	t.Helper()
	s.host.Run(func() (err error) { s.listener, err = net.Listen("tcp", ":80"); return err })
	s.http = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%s %d %s", name, n, strings.Repeat("x", len(r.URL.Path)*1000))
	})}
	go func() { _ = s.http.Serve(s.listener) }()
	t.Cleanup(func() { s.http.Close() })
}

// unpack makes the thread's namespace take packets out of tunnels: what the kernel's stack hands over, as it would to a
// tunnel device, which this kernel need not have, goes back into it by the loopback.
func unpack(t *testing.T) error {
	var raw [2]int
	for i, family := range []int{unix.AF_INET, unix.AF_INET6} {
		socket, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		t.Cleanup(func() { unix.Close(socket) })
		raw[i] = socket
	}
	gue, err := net.ListenPacket("udp", ":6080")
	if err != nil {
		return err
	}
	take(t, gue, raw, 4)
	for _, network := range []string{"ip4:4", "ip4:41", "ip6:4", "ip6:41"} {
		from, err := net.ListenPacket(network, "")
		if err != nil {
			return fmt.Errorf("%s: %w", network, err)
		}
		take(t, from, raw, 0)
	}
	return nil
}

// take hands on what comes, without so many bytes in front.
func take(t *testing.T, from net.PacketConn, raw [2]int, header int) {
	t.Cleanup(func() { from.Close() })
	go func() {
		buffer := make([]byte, 1<<16)
		for {
			n, _, err := from.ReadFrom(buffer)
			if err != nil {
				return
			}
			packet := buffer[header:n]
			if packet[0]>>4 == 4 {
				_ = unix.Sendto(raw[0], packet, 0, &unix.SockaddrInet4{Addr: [4]byte(packet[16:])})
			} else {
				_ = unix.Sendto(raw[1], packet, 0, &unix.SockaddrInet6{Addr: [16]byte(packet[24:])})
			}
		}
	}()
}

// get asks by a new connection, and returns the name of who answered.
func (s *site) get(address, body string) (string, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			return s.client.Dial(network, address)
		},
	}}
	answer, err := client.Post("http://"+net.JoinHostPort(address, "80")+"/long/path", "", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	words := strings.Fields(string(text))
	if len(words) != 3 || words[1] != fmt.Sprint(len(body)) || len(words[2]) != 10_000 {
		return "", fmt.Errorf("answered with %d words", len(words))
	}
	return words[0], nil
}

func TestTCPGoesThroughTunnels(t *testing.T) {
	for _, one := range []struct {
		encapsulation string
		six           bool
	}{{"ipip", false}, {"ipip", true}, {"gue", false}, {"gue", true}} {
		t.Run(fmt.Sprintf("%s, over IPv6 %t", one.encapsulation, one.six), func(t *testing.T) {
			s := newSite(t, one.encapsulation, one.six)
			for _, address := range []string{balanced4, balanced6} {
				seen := make(map[string]int)
				for range 20 {
					// Longer than a packet, which has less room in the tunnel than the client thinks at first.
					name, err := s.get(address, strings.Repeat("y", 10_000))
					if err != nil {
						t.Fatal(address, err)
					}
					seen[name]++
				}
				if len(seen) != members {
					t.Errorf("%s: 20 connections went to %v", address, seen)
				}
			}
			counts := s.worker.Counts()[0]
			if counts.Dropped["malformed"]+counts.Dropped["checksum"]+counts.Dropped["no_backend"]+counts.Dropped["no_room"] > 0 {
				t.Errorf("%+v", counts)
			}
			for _, backend := range s.balancer.Backends() {
				if backend.Packets == 0 {
					t.Errorf("%+v", backend)
				}
			}
		})
	}
}

func TestABackendThatDiesIsOutInThreeSecondsAndOthersConnectionsLive(t *testing.T) {
	s := newSite(t, "ipip", false)
	var connections []net.Conn
	for range 12 {
		connection, err := s.client.Dial("tcp", balanced4+":80")
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		connections = append(connections, connection)
	}
	ask := func(connection net.Conn) string {
		_ = connection.SetDeadline(time.Now().Add(2 * time.Second))
		_, _ = io.WriteString(connection, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		answer := make([]byte, 4096)
		n, _ := connection.Read(answer)
		_, body, _ := strings.Cut(string(answer[:n]), "\r\n\r\n")
		return strings.SplitN(body, " ", 2)[0]
	}
	before := make([]string, len(connections))
	for i, connection := range connections {
		before[i] = ask(connection)
	}
	const victim = "b1"
	// As a host that is gone: it answers nothing any more.
	s.servers[1].host.Run(func() error {
		port, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.LinkSetDown(port)
	})
	died := time.Now()
	for s.balancer.Backends()[1].Alive {
		if time.Since(died) > 10*time.Second {
			t.Fatal("it is in still")
		}
		time.Sleep(time.Millisecond)
	}
	if took := time.Since(died); took > 3*time.Second {
		t.Errorf("it was out after %v", took)
	}
	for i, connection := range connections {
		if after := ask(connection); after != before[i] && before[i] != victim {
			t.Errorf("connection %d was of %s, then of %q", i, before[i], after)
		}
	}
	for range 20 {
		if name, err := s.get(balanced4, ""); err != nil || name == victim {
			t.Errorf("a new connection went to %q: %v", name, err)
		}
	}
}

func TestCurlGoesThrough(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed; the other tests have a client of their own")
	}
	s := newSite(t, "ipip", false)
	seen := make(map[string]bool)
	s.client.Run(func() error {
		for range 20 {
			answer, err := exec.Command(curl, "-s", "-S", "--max-time", "5", "http://"+balanced4+"/").CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, answer)
			}
			seen[strings.Fields(string(answer))[0]] = true
		}
		return nil
	})
	if len(seen) != members {
		t.Errorf("20 connections went to %v", seen)
	}
}
