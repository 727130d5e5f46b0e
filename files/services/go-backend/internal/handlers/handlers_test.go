package handlers_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"tripod/go-backend/internal/checksum"
	"tripod/go-backend/internal/handlers"
	"tripod/go-backend/internal/worker"
	"tripod/go-backend/internal/worker/workertest"
)

var (
	ourMAC   = workertest.OurMAC
	theirMAC = workertest.TheirMAC
	ours     = []netip.Addr{netip.MustParseAddr("198.18.0.2"), netip.MustParseAddr("2001:db8::2")}
	ours4    = ours[0].AsSlice()
	theirs4  = netip.MustParseAddr("198.18.0.1").AsSlice()
	ours6    = ours[1].AsSlice()
	theirs6  = netip.MustParseAddr("2001:db8::1").AsSlice()
)

// What frames are made of.
var (
	join, frame, ipv4, ipv6 = workertest.Join, workertest.Frame, workertest.IPv4, workertest.IPv6
	summed, udp, icmp       = workertest.Summed, workertest.UDP, workertest.ICMP
	changed                 = workertest.Changed
)

func solicitation(target []byte) []byte {
	return join([]byte{135, 0, 0, 0, 0, 0, 0, 0}, target, []byte{1, 1}, theirMAC[:])
}

// handle gives a frame to a handler, and returns what is sent, or why nothing is.
func handle(t testing.TB, h worker.Handler, buffers ...[]byte) (sent []byte, reason string) {
	t.Helper()
	return workertest.Handle(t, h, buffers...)
}

func TestEchoAnswers(t *testing.T) {
	echo := handlers.NewEcho(ourMAC, ours)
	for name, one := range map[string]struct{ request, reply []byte }{
		"UDP": {
			ipv4(theirs4, ours4, 17, summed(udp(40000, 7, "hello"), 6, 17, theirs4, ours4)),
			ipv4(ours4, theirs4, 17, summed(udp(7, 40000, "hello"), 6, 17, theirs4, ours4)),
		},
		"UDP without a checksum": {
			ipv4(theirs4, ours4, 17, udp(40000, 7, "odd")), ipv4(ours4, theirs4, 17, udp(7, 40000, "odd")),
		},
		"UDP over IPv6": {
			ipv6(theirs6, ours6, 17, 7, summed(udp(40000, 9, "hello"), 6, 17, theirs6, ours6)),
			ipv6(ours6, theirs6, 17, 64, summed(udp(9, 40000, "hello"), 6, 17, theirs6, ours6)),
		},
		"ping": {
			ipv4(theirs4, ours4, 1, summed(icmp(8, "payload"), 2, 0)), ipv4(ours4, theirs4, 1, summed(icmp(0, "payload"), 2, 0)),
		},
		"ping over IPv6": {
			ipv6(theirs6, ours6, 58, 7, summed(icmp(128, "odd"), 2, 58, theirs6, ours6)),
			ipv6(ours6, theirs6, 58, 64, summed(icmp(129, "odd"), 2, 58, theirs6, ours6)),
		},
		"ARP": {
			frame([6]byte{255, 255, 255, 255, 255, 255}, theirMAC, 0x0806,
				join([]byte{0, 1, 8, 0, 6, 4, 0, 1}, theirMAC[:], theirs4, make([]byte, 6), ours4)),
			frame(theirMAC, ourMAC, 0x0806, join([]byte{0, 1, 8, 0, 6, 4, 0, 2}, ourMAC[:], ours4, theirMAC[:], theirs4)),
		},
	} {
		t.Run(name, func(t *testing.T) {
			expected := bytes.Clone(one.reply)
			copy(expected, theirMAC[:])
			copy(expected[6:], ourMAC[:])
			if expected[12] == 8 && expected[13] == 0 { // IPv4, whose answers have a TTL of their own
				expected[14+8], expected[14+10], expected[14+11] = 64, 0, 0
				checksum.Put(expected[14+10:], checksum.Sum(expected[14:34]))
			}
			got, reason := handle(t, echo, one.request)
			if !bytes.Equal(got, expected) {
				t.Errorf("%s\n% x, expected\n% x", reason, got, expected)
			}
			// What it answers it would not take for a request.
			if again, reason := handle(t, echo, got); again != nil || reason != "not_ours" {
				t.Errorf("its answer is answered: %s % x", reason, again)
			}
			for n := range one.request {
				if _, reason := handle(t, echo, one.request[:n]); reason == "" {
					t.Errorf("answered to %d bytes of %d", n, len(one.request))
				}
			}
		})
	}
}

func TestEchoAdvertisesItself(t *testing.T) {
	echo := handlers.NewEcho(ourMAC, ours)
	group := netip.MustParseAddr("ff02::1:ff00:2").AsSlice()
	for name, one := range map[string]struct {
		source, destination []byte
		mac                 [6]byte
		flags               byte
	}{
		"to the one that asks": {theirs6, theirs6, theirMAC, 0x60},
		"to all where it has no address yet": {
			make([]byte, 16), netip.MustParseAddr("ff02::1").AsSlice(), [6]byte{0x33, 0x33, 0, 0, 0, 1}, 0x20,
		},
	} {
		request := ipv6(one.source, group, 58, 255, summed(solicitation(ours6), 2, 58, one.source, group))
		copy(request, []byte{0x33, 0x33, 0xff, 0, 0, 2})
		message := join([]byte{136, 0, 0, 0, one.flags, 0, 0, 0}, ours6, []byte{2, 1}, ourMAC[:])
		expected := ipv6(ours6, one.destination, 58, 255, summed(message, 2, 58, ours6, one.destination))
		copy(expected, one.mac[:])
		copy(expected[6:], ourMAC[:])
		// Shorter than the answer, as one without the option of the sender's address is.
		bare := ipv6(one.source, group, 58, 255, summed(solicitation(ours6)[:24], 2, 58, one.source, group))
		copy(bare, request[:6])
		for _, r := range [][]byte{request, bare} {
			if got, reason := handle(t, echo, r); !bytes.Equal(got, expected) {
				t.Errorf("%s: %s\n% x, expected\n% x", name, reason, got, expected)
			}
		}
	}
}

func TestEchoDropsByName(t *testing.T) {
	echo := handlers.NewEcho(ourMAC, ours)
	good := ipv4(theirs4, ours4, 17, summed(udp(40000, 7, "hello"), 6, 17, theirs4, ours4))
	ping6 := ipv6(theirs6, ours6, 58, 7, summed(icmp(128, "p"), 2, 58, theirs6, ours6))
	group := netip.MustParseAddr("ff02::1:ff00:2").AsSlice()
	for name, one := range map[string]struct {
		frame  []byte
		reason string
	}{
		"a runt":                     {good[:13], "malformed"},
		"another MAC":                {changed(good, 5, 9), "not_ours"},
		"from a group's MAC":         {changed(good, 6, 3), "source"},
		"another ethertype":          {changed(good, 13, 1), "unsupported"},
		"another address":            {ipv4(theirs4, theirs4, 17, udp(40000, 7, "")), "not_ours"},
		"to a broadcast MAC":         {join(bytes.Repeat([]byte{255}, 6), good[6:]), "not_ours"},
		"longer than it is":          {changed(good, 14+3, 200), "malformed"},
		"a short header":             {changed(good, 14, 0x44), "malformed"},
		"a wrong header checksum":    {changed(good, 14+8, 9), "checksum"},
		"a wrong UDP checksum":       {changed(good, 42, 'H'), "checksum"},
		"TCP":                        {ipv4(theirs4, ours4, 6, make([]byte, 20)), "unsupported"},
		"another kind of ICMP":       {ipv4(theirs4, ours4, 1, summed(icmp(13, ""), 2, 0)), "unsupported"},
		"a wrong ICMP checksum":      {ipv4(theirs4, ours4, 1, icmp(8, "x")), "checksum"},
		"from a group":               {ipv4([]byte{224, 0, 0, 1}, ours4, 17, udp(40000, 7, "")), "source"},
		"from everybody":             {ipv4([]byte{255, 255, 255, 255}, ours4, 17, udp(40000, 7, "")), "source"},
		"from nobody":                {ipv4(make([]byte, 4), ours4, 17, udp(40000, 7, "")), "source"},
		"from itself":                {ipv4(ours4, ours4, 17, udp(40000, 7, "")), "source"},
		"from an echo":               {ipv4(theirs4, ours4, 17, udp(7, 7, "")), "source"},
		"a datagram longer than IP":  {ipv4(theirs4, ours4, 17, changed(udp(40000, 7, ""), 5, 9)), "malformed"},
		"IPv6 to another":            {ipv6(theirs6, theirs6, 58, 7, icmp(128, "")), "not_ours"},
		"IPv6 from a group":          {ipv6(group, ours6, 58, 7, icmp(128, "")), "source"},
		"IPv6 from nobody":           {ipv6(make([]byte, 16), ours6, 58, 7, icmp(128, "")), "source"},
		"IPv6 longer than it is":     {changed(ping6, 14+5, 99), "malformed"},
		"IPv6 in fragments":          {ipv6(theirs6, ours6, 44, 7, make([]byte, 16)), "fragment"},
		"a wrong ICMPv6 checksum":    {changed(ping6, 14+40+8, 'q'), "checksum"},
		"UDP without one over IPv6":  {ipv6(theirs6, ours6, 17, 7, udp(40000, 7, "")), "checksum"},
		"TCP over IPv6":              {ipv6(theirs6, ours6, 6, 7, make([]byte, 20)), "unsupported"},
		"a solicitation of another":  {ipv6(theirs6, group, 58, 255, summed(solicitation(theirs6), 2, 58, theirs6, group)), "not_ours"},
		"a solicitation from afar":   {ipv6(theirs6, group, 58, 254, summed(solicitation(ours6), 2, 58, theirs6, group)), "malformed"},
		"a solicitation that is off": {ipv6(theirs6, group, 58, 255, solicitation(ours6)), "checksum"},
		"an ARP reply":               {frame(ourMAC, theirMAC, 0x0806, join([]byte{0, 1, 8, 0, 6, 4, 0, 2}, make([]byte, 20))), "unsupported"},
		"ARP for another":            {frame(ourMAC, theirMAC, 0x0806, join([]byte{0, 1, 8, 0, 6, 4, 0, 1}, make([]byte, 20))), "not_ours"},
	} {
		if sent, reason := handle(t, echo, one.frame); reason != one.reason {
			t.Errorf("%s: %q, sent % x", name, reason, sent)
		}
	}
	for offset := range 3 {
		fragment := changed(good, 14+6, []byte{0x20, 0, 0x1f}[offset])
		fragment[14+7] = []byte{0, 1, 0xff}[offset]
		fragment[14+10], fragment[14+11] = 0, 0
		checksum.Put(fragment[14+10:], checksum.Sum(fragment[14:34]))
		if _, reason := handle(t, echo, fragment); reason != "fragment" {
			t.Errorf("fragment %d: %q", offset, reason)
		}
	}
}

func TestEchoCompletesASumThatWasLeftToANIC(t *testing.T) {
	body := udp(40000, 7, "hello")
	binary.BigEndian.PutUint16(body[6:], checksum.Fold(checksum.Sum(join(theirs4, ours4))+17+uint64(len(body))))
	got, reason := handle(t, handlers.NewEcho(ourMAC, ours), ipv4(theirs4, ours4, 17, body))
	if got == nil || checksum.Fold(checksum.Sum(got[26:34])+17+uint64(len(body))+checksum.Sum(got[34:])) != 0xffff {
		t.Errorf("%s: % x", reason, got)
	}
}

func TestReflectExchangesTheStations(t *testing.T) {
	request := frame(ourMAC, theirMAC, 0x1234, []byte("anything"))
	if got, _ := handle(t, handlers.Reflect{}, request); !bytes.Equal(got, frame(theirMAC, ourMAC, 0x1234, []byte("anything"))) {
		t.Errorf("got % x", got)
	}
	if _, reason := handle(t, handlers.Reflect{}, request[:13]); reason != "short" {
		t.Error(reason)
	}
	if _, reason := handle(t, handlers.Reflect{}, changed(request, 6, 1)); reason != "group_source" {
		t.Error(reason)
	}
}

func TestSinkConsumes(t *testing.T) {
	if _, reason := handle(t, handlers.Sink{}, []byte{1}); reason != "consumed" {
		t.Error(reason)
	}
}

func TestNoHandlerAllocates(t *testing.T) {
	request := ipv4(theirs4, ours4, 17, summed(udp(40000, 7, "hello"), 6, 17, theirs4, ours4))
	for _, h := range []worker.Handler{handlers.Sink{}, handlers.Reflect{}, handlers.NewEcho(ourMAC, ours)} {
		packets := make([]worker.Packet, 16)
		for i := range packets {
			packets[i].Data = bytes.Clone(request)
		}
		if n := testing.AllocsPerRun(100, func() { h.Handle(packets) }); n != 0 {
			t.Errorf("%s: %v allocations", h.Name(), n)
		}
	}
}

func FuzzEcho(f *testing.F) {
	f.Add(ipv4(theirs4, ours4, 17, udp(40000, 7, "hello")))
	f.Add(ipv6(theirs6, ours6, 58, 255, summed(solicitation(ours6), 2, 58, theirs6, ours6)))
	f.Add(frame(ourMAC, theirMAC, 0x0806, join([]byte{0, 1, 8, 0, 6, 4, 0, 1}, theirMAC[:], theirs4, make([]byte, 6), ours4)))
	echo := handlers.NewEcho(ourMAC, ours)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 3000 {
			return
		}
		if got, _ := handle(t, echo, data); got != nil && [6]byte(got[6:]) != ourMAC {
			t.Errorf("answered from another MAC: % x", got)
		}
	})
}
