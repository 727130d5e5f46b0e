package handlers_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tripod/go-backend/internal/checksum"
	"tripod/go-backend/internal/handlers"
	"tripod/go-backend/internal/worker"
	"tripod/go-backend/internal/worker/workertest"
)

var packet = workertest.Packet

var (
	peerMAC, beyondMAC = [6]byte{0x02, 0, 0, 0, 0, 0x03}, [6]byte{0x02, 0, 0, 0, 0, 0x04}
	// beyond is behind the peer.
	beyond4 = netip.MustParseAddr("203.0.113.9").AsSlice()
	beyond6 = netip.MustParseAddr("2001:db8:9::9").AsSlice()
)

func forwardConfig() handlers.ForwardConfig {
	return handlers.ForwardConfig{
		Ports: [2]handlers.ForwardPort{
			{MAC: ourMAC, NextHop: theirMAC, MTU: 1500, V4: ours[0], V6: ours[1]},
			{MAC: peerMAC, NextHop: beyondMAC, MTU: 1400},
		},
		ErrorsPerSecond: 1,
	}
}

func newForward(t testing.TB) *handlers.Forward {
	t.Helper()
	f, err := handlers.NewForward(forwardConfig())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// withTTL gives an IPv4 frame a TTL, with a checksum that is right.
func withTTL(frame []byte, ttl byte) []byte {
	frame = changed(frame, 14+8, ttl)
	return resummed(frame)
}

func resummed(frame []byte) []byte {
	frame[24], frame[25] = 0, 0
	checksum.Put(frame[24:], checksum.Sum(frame[14:34]))
	return frame
}

func TestForwardIsARouter(t *testing.T) {
	f := newForward(t)
	four := ipv4(theirs4, beyond4, 6, []byte("segment"))
	six := ipv6(theirs6, beyond6, 6, 64, []byte("segment"))
	for name, one := range map[string]struct{ came, leaves []byte }{
		"IPv4":                      {four, withTTL(four, 6)},
		"IPv6":                      {six, changed(six, 14+7, 63)},
		"padded, as short ones are": {join(four, make([]byte, 19)), join(withTTL(four, 6), make([]byte, 19))},
	} {
		copy(one.leaves, join(beyondMAC[:], peerMAC[:]))
		packets := []worker.Packet{packet(t, 0, one.came)}
		f.Handle(packets)
		if packets[0].Verdict != worker.Forward || !bytes.Equal(packets[0].Data, one.leaves) {
			t.Errorf("%s: verdict %d\n% x, expected\n% x", name, packets[0].Verdict, packets[0].Data, one.leaves)
		}
	}
	back := bytes.Clone(four)
	copy(back, join(peerMAC[:], beyondMAC[:]))
	packets := []worker.Packet{packet(t, 1, back)}
	f.Handle(packets)
	if got := packets[0].Data; packets[0].Verdict != worker.Forward || [6]byte(got) != theirMAC || [6]byte(got[6:]) != ourMAC {
		t.Errorf("the other way: verdict %d, % x", packets[0].Verdict, got)
	}
}

func TestForwardsChecksumIsRightForAllThereCanBe(t *testing.T) {
	f := newForward(t)
	for identification := range 1 << 16 {
		if identification%251 != 0 && identification < 65000 {
			continue
		}
		came := ipv4(theirs4, beyond4, 6, nil)
		binary.BigEndian.PutUint16(came[18:], uint16(identification))
		packets := []worker.Packet{{Data: resummed(came)}}
		f.Handle(packets)
		if got := packets[0].Data; checksum.Fold(checksum.Sum(got[14:34])) != 0xffff {
			t.Fatalf("identification %d: % x", identification, got[14:34])
		}
	}
}

func TestForwardDropsByName(t *testing.T) {
	four, six := ipv4(theirs4, beyond4, 6, make([]byte, 20)), ipv6(theirs6, beyond6, 6, 64, make([]byte, 20))
	address := func(text string) []byte { return netip.MustParseAddr(text).AsSlice() }
	long := ipv4(theirs4, beyond4, 6, make([]byte, 1381))
	silent := forwardConfig()
	silent.ErrorsPerSecond = 0
	quiet, err := handlers.NewForward(silent)
	if err != nil {
		t.Fatal(err)
	}
	for name, one := range map[string]struct {
		frame  []byte
		reason string
	}{
		"a runt":                   {four[:13], "malformed"},
		"no header":                {four[:30], "malformed"},
		"longer than it is":        {four[:50], "malformed"},
		"IPv6 longer than it is":   {six[:60], "malformed"},
		"IPv6 said to be IPv4":     {changed(changed(six, 12, 8), 13, 0), "malformed"},
		"to another station":       {changed(four, 5, 9), "not_ours"},
		"to a group":               {changed(four, 0, 1), "not_ours"},
		"ARP":                      {changed(four, 13, 6), "unsupported"},
		"a VLAN's":                 {changed(changed(four, 12, 0x81), 13, 0), "unsupported"},
		"a wrong header checksum":  {changed(four, 14+8, 9), "checksum"},
		"to a group of hosts":      {ipv4(theirs4, address("224.0.0.5"), 6, nil), "address"},
		"from everybody":           {ipv4(address("255.255.255.255"), beyond4, 6, nil), "address"},
		"from a loopback":          {ipv4(address("127.0.0.1"), beyond4, 6, nil), "address"},
		"from nobody":              {ipv4(address("0.0.0.0"), beyond4, 6, nil), "address"},
		"to a link's":              {ipv4(theirs4, address("169.254.1.1"), 6, nil), "address"},
		"IPv6 to a link's":         {ipv6(theirs6, address("fe80::1"), 6, 64, nil), "address"},
		"IPv6 to a group":          {ipv6(theirs6, address("ff0e::1"), 6, 64, nil), "address"},
		"IPv6 from nobody":         {ipv6(address("::"), beyond6, 6, 64, nil), "address"},
		"IPv6 from the loopback":   {ipv6(address("::1"), beyond6, 6, 64, nil), "address"},
		"its time over":            {withTTL(four, 1), "ttl"},
		"IPv6 with its time over":  {changed(six, 14+7, 0), "ttl"},
		"too long, to be cut":      {long, "too_big"},
		"too long, not to be cut":  {resummed(changed(long, 14+6, 0x40)), "too_big"},
		"IPv6 that is too long":    {ipv6(theirs6, beyond6, 6, 64, make([]byte, 1361)), "too_big"},
		"as long as one may be, 4": {ipv4(theirs4, beyond4, 6, make([]byte, 1380)), ""},
		"as long as one may be, 6": {ipv6(theirs6, beyond6, 6, 64, make([]byte, 1360)), ""},
	} {
		if sent, reason := handle(t, quiet, one.frame); reason != one.reason {
			t.Errorf("%s: %q, sent % x", name, reason, sent)
		}
	}
}

func TestForwardSaysWhatCannotGoOn(t *testing.T) {
	datagram := summed(udp(40000, 7, strings.Repeat("x", 1400)), 6, 17, theirs4, beyond4)
	four := resummed(changed(ipv4(theirs4, beyond4, 17, datagram), 14+6, 0x40))
	six := ipv6(theirs6, beyond6, 17, 1, datagram)
	for name, one := range map[string]struct {
		came   []byte
		kind   []byte // type, code and, behind the checksum, the value
		quoted int
	}{
		"IPv4, its time over": {withTTL(four, 1), []byte{11, 0, 0, 0, 0, 0}, 548},
		"IPv4, too long":      {four, []byte{3, 4, 0, 0, 0x05, 0x78}, 548},
		"a short one":         {withTTL(ipv4(theirs4, beyond4, 17, udp(1, 2, "")), 1), []byte{11, 0, 0, 0, 0, 0}, 28},
		"IPv6, its time over": {six, []byte{3, 0, 0, 0, 0, 0}, 1232},
		"IPv6, too long":      {changed(six, 14+7, 9), []byte{2, 0, 0, 0, 0x05, 0x78}, 1232},
	} {
		got, reason := handle(t, newForward(t), one.came)
		if reason != "" {
			t.Errorf("%s: %s", name, reason)
			continue
		}
		message := join(one.kind[:2], []byte{0, 0}, one.kind[2:], one.came[14:14+one.quoted])
		var expected []byte
		if one.came[12] == 8 {
			expected = ipv4(ours4, theirs4, 1, summed(message, 2, 0))
			copy(expected[18:], []byte{0, 0, 0x40, 0})
			expected[15] = 0xc0
			expected = withTTL(expected, 64)
		} else {
			expected = ipv6(ours6, theirs6, 58, 64, summed(message, 2, 58, ours6, theirs6))
			expected[14] = 0x6c
		}
		copy(expected, join(theirMAC[:], ourMAC[:]))
		if !bytes.Equal(got, expected) {
			t.Errorf("%s: % .100x, expected % .100x", name, got, expected)
		}
	}
}

func TestForwardIsSilentWhereItMustBe(t *testing.T) {
	fragment := withTTL(ipv4(theirs4, beyond4, 17, make([]byte, 16)), 1)
	copy(fragment[20:], []byte{0, 9})
	later6 := join([]byte{17, 0, 0, 8, 0, 0, 0, 1}, make([]byte, 16))
	for name, frame := range map[string][]byte{
		"of an error":         withTTL(ipv4(theirs4, beyond4, 1, icmp(3, "")), 1),
		"of a redirect":       withTTL(ipv4(theirs4, beyond4, 1, icmp(5, "")), 1),
		"of nothing":          withTTL(ipv4(theirs4, beyond4, 1, nil), 1),
		"of an IPv6 error":    ipv6(theirs6, beyond6, 58, 1, icmp(1, "")),
		"of it behind more":   ipv6(theirs6, beyond6, 0, 1, join([]byte{58, 0, 0, 0, 0, 0, 0, 0}, icmp(1, ""))),
		"of a later fragment": resummed(fragment),
		"of one of IPv6":      ipv6(theirs6, beyond6, 44, 1, later6),
	} {
		if got, reason := handle(t, newForward(t), frame); reason != "ttl" {
			t.Errorf("%s: %q % x", name, reason, got)
		}
	}
	f, sent, began := newForward(t), 0, time.Now()
	for range 100 {
		if _, reason := handle(t, f, ipv6(theirs6, beyond6, 58, 1, icmp(128, ""))); reason == "" {
			sent++
		}
	}
	if took := time.Since(began); sent < 10 || sent > 12+int(took.Seconds()) {
		t.Errorf("%d messages in %v, of 1 a second", sent, took)
	}
}

func TestForwardsThatCannotBe(t *testing.T) {
	config := handlers.ForwardConfig{ErrorsPerSecond: -1}
	config.Ports[0] = handlers.ForwardPort{MAC: [6]byte{1}, NextHop: [6]byte{2}, MTU: 10, V4: ours[1], V6: ours[0]}
	config.Ports[1] = handlers.ForwardPort{MAC: ourMAC, NextHop: ourMAC, MTU: 1500, V4: netip.MustParseAddr("224.0.0.1")}
	_, err := handlers.NewForward(config)
	if err == nil {
		t.Fatal("it was taken")
	}
	for _, says := range []string{
		"-1 ICMP errors a second: 0 to 100000", "the NIC's side: MAC 01:00:00:00:00:00 is not one station's",
		"the NIC's side: MTU 10: 68 to 65535", "IPv4 address 2001:db8::2 of ICMP errors", "IPv6 address 198.18.0.2 of ICMP errors",
		"the peer's side: the next hop is the NIC itself", "the peer's side: IPv4 address 224.0.0.1",
	} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("it does not say %q:\n%v", says, err)
		}
	}
}

func TestForwardDoesNotAllocate(t *testing.T) {
	f := newForward(t)
	came := []worker.Packet{
		packet(t, 0, ipv4(theirs4, beyond4, 6, make([]byte, 20))),
		packet(t, 0, ipv6(theirs6, beyond6, 6, 64, make([]byte, 20))),
		packet(t, 0, withTTL(ipv4(theirs4, beyond4, 17, udp(1, 2, "")), 1)),
	}
	packets, four, six := make([]worker.Packet, len(came)), bytes.Clone(came[0].Data), bytes.Clone(came[1].Data)
	if n := testing.AllocsPerRun(100, func() {
		copy(packets, came)
		copy(packets[0].Data, four)
		copy(packets[1].Data, six)
		f.Handle(packets)
	}); n != 0 || packets[1].Verdict != worker.Forward {
		t.Errorf("%v allocations, verdict %d", n, packets[1].Verdict)
	}
}

func FuzzForward(f *testing.F) {
	f.Add(withTTL(ipv4(theirs4, beyond4, 17, udp(40000, 7, "hello")), 1))
	f.Add(ipv6(theirs6, beyond6, 44, 1, make([]byte, 30)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 3000 {
			return
		}
		got, reason := handle(t, newForward(t), data)
		if reason == "" && [6]byte(got[6:]) != ourMAC && [6]byte(got[6:]) != peerMAC {
			t.Errorf("sent from another MAC: % x", got)
		}
	})
}
