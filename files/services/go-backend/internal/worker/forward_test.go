package worker_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/handlers"
	"tripod/go-backend/internal/worker"
)

// path is two hosts, with a worker that forwards between them.
type path struct {
	*scene
	worker    *worker.Worker
	near, far *bpftest.Namespace
}

const (
	nearRouter4, nearRouter6 = "198.18.1.1", "2001:db8:1::1"
	farRouter4, farRouter6   = "198.18.2.1", "2001:db8:2::1"
)

// newPath has an MTU on its far side.
func newPath(t *testing.T, mtu int) *path {
	t.Helper()
	s := newScene(t)
	config := s.config(nil)
	name := s.addPeer(&config)
	p := &path{scene: s, near: s.host.Namespace(), far: s.host.Namespace()}
	stations := [2][6]byte{s.host.Station(s.host.Peer(s.name)), s.host.Station(s.host.Peer(name))}
	p.near.Take(s.name, []string{"198.18.1.2/24", "2001:db8:1::2/64"}, []string{nearRouter4, nearRouter6})
	p.far.Take(name, []string{"198.18.2.2/24", "2001:db8:2::2/64"}, []string{farRouter4, farRouter6})
	var err error
	config.Handler, err = handlers.NewForward(handlers.ForwardConfig{
		Ports: [2]handlers.ForwardPort{
			{
				MAC: config.Socket.NIC().Address, NextHop: stations[0], MTU: 1500,
				V4: netip.MustParseAddr(nearRouter4), V6: netip.MustParseAddr(nearRouter6),
			},
			{
				MAC: config.Peer.NIC().Address, NextHop: stations[1], MTU: mtu,
				V4: netip.MustParseAddr(farRouter4), V6: netip.MustParseAddr(farRouter6),
			},
		},
		ErrorsPerSecond: 100,
	})
	if err != nil {
		t.Fatal(err)
	}
	p.worker = s.run(config)
	return p
}

// serve lets the far host send back what a TCP connection brings.
func (p *path) serve(address string) {
	p.t.Helper()
	var listener net.Listener
	p.far.Run(func() (err error) { listener, err = net.Listen("tcp", address); return err })
	p.t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { defer connection.Close(); _, _ = io.Copy(connection, connection) }()
		}
	}()
}

func TestTCPGoesThroughForwardAndLearnsThePathsMTU(t *testing.T) {
	p := newPath(t, 1300)
	for _, address := range []string{"198.18.2.2:8000", "[2001:db8:2::2]:8000"} {
		p.serve(address)
		var connection net.Conn
		eventually(t, func() (done bool) {
			var err error
			connection, err = p.near.Dial("tcp", address)
			return err == nil
		})
		defer connection.Close()
		const size = 200_000
		_ = connection.SetDeadline(time.Now().Add(bpftest.Patience))
		go func() {
			_, _ = io.WriteString(connection, strings.Repeat("0123456789", size/10))
			_ = connection.(*net.TCPConn).CloseWrite()
		}()
		if back, err := io.ReadAll(connection); err != nil || string(back) != strings.Repeat("0123456789", size/10) {
			t.Errorf("%s: %d bytes came back: %v", address, len(back), err)
		}
		if mtu := pathMTU(t, connection); mtu != 1300 {
			t.Errorf("%s: the sender takes the path's MTU for %d", address, mtu)
		}
	}
	counts := p.worker.Counts()[0]
	if counts.Sent < 2 || counts.Forwarded < 500 || counts.Dropped["malformed"]+counts.Dropped["checksum"] > 0 {
		t.Errorf("%+v", counts)
	}
	p.stop(p.worker)
}

// pathMTU is what the kernel knows of a connection's path.
func pathMTU(t *testing.T, connection net.Conn) (mtu int) {
	t.Helper()
	level, option := unix.SOL_IP, unix.IP_MTU
	if connection.RemoteAddr().(*net.TCPAddr).IP.To4() == nil {
		level, option = unix.SOL_IPV6, unix.IPV6_MTU
	}
	control(t, connection, func(fd int) (err error) { mtu, err = unix.GetsockoptInt(fd, level, option); return err })
	return mtu
}

func control(t *testing.T, connection any, do func(fd int) error) {
	t.Helper()
	raw, err := connection.(interface {
		SyscallConn() (syscall.RawConn, error)
	}).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	fault := raw.Control(func(fd uintptr) { err = do(int(fd)) })
	if err := errors.Join(fault, err); err != nil {
		t.Fatal(err)
	}
}

func TestASenderIsToldThatItsPacketsTimeWasExceeded(t *testing.T) {
	p := newPath(t, 1500)
	for _, one := range []struct {
		address                string
		level, ttl, errorsFrom int
	}{
		{"198.18.2.2:9", unix.SOL_IP, unix.IP_TTL, unix.IP_RECVERR},
		{"[2001:db8:2::2]:9", unix.SOL_IPV6, unix.IPV6_UNICAST_HOPS, unix.IPV6_RECVERR},
	} {
		connection, err := p.near.Dial("udp", one.address)
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		control(t, connection, func(fd int) error {
			return errors.Join(unix.SetsockoptInt(fd, one.level, one.ttl, 1), unix.SetsockoptInt(fd, one.level, one.errorsFrom, 1))
		})
		eventually(t, func() bool {
			_, _ = connection.Write([]byte("too far"))
			_ = connection.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			_, err := connection.Read(make([]byte, 100))
			return errors.Is(err, unix.EHOSTUNREACH)
		})
	}
	p.stop(p.worker)
}
