package worker_test

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/checksum"
	"tripod/go-backend/internal/handlers"
)

// TestTheKernelsStackTalksToEcho lets the far end of the wire have addresses: its ARP, neighbour discovery, UDP and pings
// are the kernel's own.
func TestTheKernelsStackTalksToEcho(t *testing.T) {
	s := newScene(t)
	far, err := netlink.LinkByName(s.host.Peer(s.name))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+far.Attrs().Name+"/disable_ipv6", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"198.18.0.1/24", "2001:db8::1/64"} {
		address, err := netlink.ParseAddr(text)
		if err != nil {
			t.Fatal(err)
		}
		address.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(far, address); err != nil {
			t.Fatal(err)
		}
	}
	config := s.config(nil)
	config.Handler = handlers.NewEcho(config.Socket.NIC().Address, []netip.Addr{
		netip.MustParseAddr("198.18.0.2"), netip.MustParseAddr("2001:db8::2"),
	})
	w := s.run(config)
	defer s.stop(w)
	for _, to := range []string{"198.18.0.2:7", "[2001:db8::2]:4000"} {
		connection, err := net.Dial("udp", to)
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		answered(t, connection, []byte("hello "+to), func(answer []byte) bool { return string(answer) == "hello "+to })
	}
	ping := []byte{8, 0, 0, 0, 0x12, 0x34, 0, 1, 'p', 'i', 'n', 'g'}
	checksum.Put(ping[2:], checksum.Sum(ping))
	connection, err := net.Dial("ip4:icmp", "198.18.0.2")
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	pong := bytes.Clone(ping)
	pong[0] = 0
	binary.BigEndian.PutUint16(pong[2:], 0)
	checksum.Put(pong[2:], checksum.Sum(pong))
	answered(t, connection, ping, func(answer []byte) bool { return bytes.HasSuffix(answer, pong) }) // behind its IP header
	// Of ICMPv6 the kernel makes and checks the sum, so the reply's is its own.
	connection6, err := net.Dial("ip6:ipv6-icmp", "2001:db8::2")
	if err != nil {
		t.Fatal(err)
	}
	defer connection6.Close()
	answered(t, connection6, []byte{128, 0, 0, 0, 0x12, 0x34, 0, 2, 'p'}, func(answer []byte) bool {
		return answer[0] == 129 && bytes.HasSuffix(answer, []byte{0x12, 0x34, 0, 2, 'p'})
	})
}

// answered sends a message until the answer comes; others may come too.
func answered(t *testing.T, connection net.Conn, message []byte, is func([]byte) bool) {
	t.Helper()
	answer := make([]byte, 2048)
	for deadline := time.Now().Add(bpftest.Patience); time.Now().Before(deadline); {
		if _, err := connection.Write(message); err != nil {
			continue
		}
		_ = connection.SetReadDeadline(time.Now().Add(time.Second))
		for {
			n, err := connection.Read(answer)
			if err != nil {
				break
			}
			if n > 0 && is(answer[:n]) {
				return
			}
		}
	}
	t.Errorf("%s does not answer % x", connection.RemoteAddr(), message)
}
