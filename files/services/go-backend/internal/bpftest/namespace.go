package bpftest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Namespace is a network of its own, with what was moved into it.
type Namespace struct {
	host *Host
	fd   int
}

// Namespace makes one, with its loopback up.
func (h *Host) Namespace() *Namespace {
	h.t.Helper()
	n := &Namespace{host: h}
	var err error
	apart(func() {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			n.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
	})
	h.must(err)
	h.t.Cleanup(func() { unix.Close(n.fd) })
	n.Run(func() error {
		loopback, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(loopback)
	})
	return n
}

// apart runs a function on a thread that ends with it, as its namespace is changed.
func apart(run func()) {
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(done)
		run()
	}()
	<-done
}

// Run calls a function in the namespace: sockets that it makes and programs that it starts are of it. An error fails the test.
func (n *Namespace) Run(run func() error) {
	n.host.t.Helper()
	var err error
	apart(func() {
		if err = unix.Setns(n.fd, unix.CLONE_NEWNET); err == nil {
			err = run()
		}
	})
	n.host.must(err)
}

// Dial is net.Dial for a connection that is of the namespace.
func (n *Namespace) Dial(network, address string) (connection net.Conn, err error) {
	apart(func() {
		if err = unix.Setns(n.fd, unix.CLONE_NEWNET); err == nil {
			connection, err = net.Dial(network, address)
		}
	})
	return connection, err
}

// Take moves the far end of an interface into the namespace, gives it addresses, such as 192.0.2.1/24, and lets it compute
// checksums, as a virtual NIC would leave them out. Routers are addresses of the near end, whose MAC address they have.
func (n *Namespace) Take(name string, addresses, routers []string) {
	h := n.host
	h.t.Helper()
	near := h.link(name).Attrs().HardwareAddr
	h.must(netlink.LinkSetNsFd(h.link(peer(name)), n.fd))
	n.Run(func() error {
		h.SumInSoftware(peer(name))
		if err := SetAddresses(peer(name), addresses...); err != nil {
			return err
		}
		for _, text := range routers {
			router, index := net.ParseIP(text), h.link(peer(name)).Attrs().Index
			if err := netlink.NeighSet(&netlink.Neigh{
				LinkIndex: index, State: netlink.NUD_PERMANENT, IP: router, HardwareAddr: near,
			}); err != nil {
				return fmt.Errorf("neighbour %s: %w", text, err)
			}
			if err := netlink.RouteAdd(&netlink.Route{LinkIndex: index, Gw: router, Dst: everything(router)}); err != nil {
				return fmt.Errorf("route by %s: %w", text, err)
			}
		}
		return nil
	})
}

// SetAddresses gives an interface of the thread's namespace addresses that it uses at once, and takes it up.
func SetAddresses(name string, addresses ...string) error {
	// Without looking whether anybody has the addresses, which takes seconds, of the link's own too.
	for _, setting := range []string{"accept_dad", "disable_ipv6"} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/"+setting, []byte("0"), 0); err != nil {
			return err
		}
	}
	found, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	for _, text := range addresses {
		address, err := netlink.ParseAddr(text)
		if err != nil {
			return err
		}
		if address.IP.To4() == nil {
			address.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrAdd(found, address); err != nil {
			return fmt.Errorf("address %s of %s: %w", text, name, err)
		}
	}
	return netlink.LinkSetUp(found)
}

func everything(router net.IP) *net.IPNet {
	if router.To4() != nil {
		return &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
	}
	return &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
}

// Station is an interface's MAC address.
func (h *Host) Station(name string) [6]byte {
	h.t.Helper()
	return [6]byte(h.link(name).Attrs().HardwareAddr)
}

// Switch is a bridge that joins the far end of an interface with namespaces.
type Switch struct {
	namespace *Namespace
	ports     int
}

// Switch makes one for an interface.
func (h *Host) Switch(name string) *Switch {
	h.t.Helper()
	s := &Switch{namespace: h.Namespace()}
	h.must(netlink.LinkSetNsFd(h.link(peer(name)), s.namespace.fd))
	s.namespace.Run(func() error {
		// What reaches the interface's program has its checksums.
		h.SumInSoftware(peer(name))
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridge}}); err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetUp(h.link(bridge)), s.plug(peer(name)))
	})
	return s
}

const bridge = "switch"

func (s *Switch) plug(name string) error {
	port := s.namespace.host.link(name)
	return errors.Join(netlink.LinkSetMaster(port, s.namespace.host.link(bridge)), netlink.LinkSetUp(port))
}

// Join connects a namespace, whose end is eth0 and has addresses.
func (s *Switch) Join(n *Namespace, addresses ...string) {
	h := s.namespace.host
	h.t.Helper()
	s.ports++
	name := fmt.Sprintf("port%d", s.ports)
	s.namespace.Run(func() error {
		pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "eth0", PeerNamespace: netlink.NsFd(n.fd)}
		if err := netlink.LinkAdd(pair); err != nil {
			return err
		}
		return s.plug(name)
	})
	n.Run(func() error { return SetAddresses("eth0", addresses...) })
}
