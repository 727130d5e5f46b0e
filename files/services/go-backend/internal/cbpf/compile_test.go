package cbpf

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"

	"tripod/go-backend/internal/worker/workertest"
)

// reference is what libpcap made of an expression: a program as it stands and an optimized one, or why there is none.
type reference struct {
	programs [2]Program
	refused  string
}

// recorded is by expression (testdata/record.py).
func recorded(t testing.TB) map[string]reference {
	t.Helper()
	text, err := os.ReadFile("testdata/libpcap.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Programs map[string]json.RawMessage }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]reference)
	for expression, raw := range file.Programs {
		var one reference
		var numbers [2][][4]uint32
		if json.Unmarshal(raw, &numbers) != nil {
			one.refused = string(raw)
		}
		for i := range numbers {
			for _, n := range numbers[i] {
				one.programs[i] = append(one.programs[i], Instruction{uint16(n[0]), uint8(n[1]), uint8(n[2]), n[3]})
			}
		}
		all[expression] = one
	}
	return all
}

// frames are of everything that expressions ask for, and cut anywhere: random, but the same each time.
func frames() [][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) []byte { return netip.MustParseAddr(of[random.IntN(len(of))]).AsSlice() }
	four := func() []byte {
		return pick("192.0.2.1", "192.0.2.2", "198.51.100.7", "10.1.2.3", "192.0.99.0", "192.0.2.17", "224.0.0.5")
	}
	six := func() []byte {
		return pick("2001:db8::1", "2001:db8::2", "2001:db8:0:8::9", "fe80::1", "ff02::1")
	}
	port := func() uint16 { return []uint16{80, 443, 53, 22, 55, 70, 1023, 9899, 4000}[random.IntN(9)] }
	protocols := []byte{1, 2, 6, 6, 6, 17, 17, 17, 50, 51, 58, 103, 132, 44}
	var all [][]byte
	for range 1500 {
		protocol := protocols[random.IntN(len(protocols))]
		body := make([]byte, 24+random.IntN(80))
		for i := range body {
			body[i] = byte(random.IntN(256))
		}
		binary.BigEndian.PutUint16(body, port())
		binary.BigEndian.PutUint16(body[2:], port())
		switch protocol {
		case 1, 58:
			body[0] = []byte{0, 8, 3, 128, 129, 135}[random.IntN(6)]
		case 6:
			body[12], body[13] = 0x50, []byte{2, 18, 16, 1, 24, 10}[random.IntN(6)]
			copy(body[20:], "GET ")
		case 44:
			body[0] = []byte{6, 17, 58}[random.IntN(3)]
		}
		var frame []byte
		switch random.IntN(10) {
		case 0, 1, 2, 3, 4:
			frame = workertest.IPv4(four(), four(), protocol, body)
			frame[22] = byte(random.IntN(256))
			if random.IntN(4) == 0 {
				binary.BigEndian.PutUint16(frame[20:], []uint16{0x2000, 0x00b9, 0x4000, 0x2010}[random.IntN(4)])
			}
			if random.IntN(4) == 0 { // with options, which shift what is above
				frame = workertest.Join(frame[:34], []byte{1, 1, 1, 1}, frame[34:])
				frame[14] = 0x46
			}
		case 5, 6, 7:
			frame = workertest.IPv6(six(), six(), protocol, byte(random.IntN(3)), body)
		case 8:
			frame = workertest.Frame(workertest.OurMAC, workertest.TheirMAC, []uint16{0x0806, 0x8035}[random.IntN(2)],
				workertest.Join([]byte{0, 1, 8, 0, 6, 4, 0, byte(1 + random.IntN(2))}, body[:6], four(), body[:6], four()))
		default:
			frame = workertest.Frame(workertest.OurMAC, workertest.TheirMAC, uint16(random.IntN(1<<16)), body)
		}
		switch random.IntN(8) {
		case 0:
			copy(frame, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
		case 1:
			copy(frame, workertest.TheirMAC[:])
		case 2:
			frame[0] |= 1
		}
		for range []int{0, 0, 0, 1, 2}[random.IntN(5)] {
			tag := []byte{0x81, 0, 0x20, 7}
			if random.IntN(3) == 0 {
				tag = []byte{0x88, 0xa8, 0, 100}
			}
			frame = workertest.Join(frame[:12], tag, frame[12:])
		}
		if random.IntN(5) == 0 {
			frame = frame[:random.IntN(len(frame)+1)]
		}
		all = append(all, frame)
	}
	return all
}

func TestExpressionsDecideAsLibpcapsDo(t *testing.T) {
	corpus, taken, unsure := frames(), 0, 0
	for expression, expected := range recorded(t) {
		ours, err := Compile(expression, 1<<16)
		if (err == nil) != (expected.refused == "") {
			t.Errorf("%s: %v; libpcap: %v", expression, err, expected.refused)
			continue
		}
		met := 0
		for _, frame := range corpus {
			length := uint32(len(frame))
			mine, theirs := ours.Run(frame, length) != 0, expected.programs[0].Run(frame, length) != 0
			if theirs != (expected.programs[1].Run(frame, length) != 0) {
				unsure++ // it ends where one of libpcap's two looks and the other does not
			} else if err == nil && mine != theirs {
				t.Errorf("%s: %t, libpcap %t, of % x", expression, mine, theirs, frame)
				break
			}
			if mine {
				met++
			}
		}
		if err == nil && met > 0 && met < len(corpus) {
			taken++
		}
	}
	if unsure > 500 {
		t.Errorf("libpcap decides in two ways on %d frames", unsure)
	}
	// So that nothing agrees because there was nothing to decide.
	if taken < 120 {
		t.Errorf("%d expressions parted the frames", taken)
	}
}

func TestExpressionsThatAreRefusedSayWhy(t *testing.T) {
	for expression, says := range map[string]string{
		"host www.example.org":           `character 6, "www.example.org": an address is expected`,
		"host":                           "at its end: what host is missing",
		"port http":                      "names of ports are not looked up",
		"port 65536":                     "a number from 0 to 65535",
		"port 80-90":                     "portrange takes two",
		"www":                            "it is no condition",
		"192.0.2.1":                      "say host, net or port before",
		"tcp port 80 nad udp":            `character 13, "nad": "and", "or" or the end is expected`,
		"(tcp or udp":                    `at its end: ")" is expected`,
		"tcp)":                           `character 4, ")"`,
		"vlan 5000":                      "a number from 0 to 4095",
		"net 192.0.2.1/24":               "192.0.2.0/24 is the network",
		"net 192.0.2.0/33":               "0 to 32",
		"net 2001:db8::/129":             "0 to 128",
		"net 192.0.2.1 mask 255.255.0.0": "beyond its mask",
		"ip6 host 192.0.2.1":             "does not go with ip6",
		"arp host 2001:db8::1":           "does not go with arp",
		"ether host 1":                   "an Ethernet address is expected",
		"ether proto 5":                  "ethertypes begin at 0x600",
		"ip broadcast":                   "mask is not known",
		"gateway x":                      "names are not looked up",
		"inbound":                        "all received",
		"mpls 3":                         "not looked into",
		"ip protochain 6":                "not followed",
		"wlan type mgt":                  "Ethernet II",
		"icmp port 3":                    "not of icmp",
		"tcp[0":                          `"]" is expected`,
		"tcp[0:3] = 1":                   "1, 2 or 4 bytes",
		"tcp[0]":                         "a comparison is expected",
		"esp[0] = 1":                     "bytes can be read of",
		"tcp[foo] = 1":                   "a number, a field",
		"ip[0] / 0 = 1":                  "divides by 0",
		"1 << 32 = len":                  "more than 31 bits",
		"tcp; drop":                      `character 4: ';' has no meaning`,
		"host 192.0.2.1 and é":           "has no meaning",
		"proto":                          "what proto is missing",
		"ether":                          "ether needs",
		"less":                           "a number from 0",
		"src and tcp":                    "an address is expected",
		"ip proto 300":                   "a number from 0 to 255",
		strings.Repeat("(", 5000):        "5000 bytes, 4096 are possible",
		strings.Repeat("not ", 1000):     "a condition is expected",
		"tcp" + strings.Repeat(" or port 80", 100):                           "instructions, 4096 are possible",
		"len = " + strings.Repeat("1+(", 17) + "1" + strings.Repeat(")", 17): "",
		"len = " + strings.Repeat("(", 17) + "1" + strings.Repeat("+1)", 17): "values at once",
	} {
		p, err := Compile(expression, 1)
		if says == "" {
			if err != nil {
				t.Errorf("%s: %v", expression, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.80s: %v, %d instructions; expected %q", expression, err, len(p), says)
		}
	}
}

func TestFarJumpsArrive(t *testing.T) {
	var all []string
	for i := range 150 {
		all = append(all, fmt.Sprintf("udp port %d", 1000+i))
	}
	expression := "not (" + strings.Join(all, " or ") + ") and ip"
	p, err := Compile(expression, 1)
	if err != nil || len(p) < 1000 {
		t.Fatal(len(p), err)
	}
	for port, expected := range map[uint16]uint32{999: 1, 1000: 0, 1100: 0, 1149: 0, 1150: 1} {
		frame := workertest.IPv4([]byte{1, 1, 1, 1}, []byte{2, 2, 2, 2}, 17, workertest.UDP(port, 9, ""))
		if got := p.Run(frame, uint32(len(frame))); got != expected {
			t.Errorf("port %d: %d", port, got)
		}
	}
}

func TestTheEmptyExpressionTakesAll(t *testing.T) {
	p, err := Compile(" \t", 60)
	if err != nil || p.Run(nil, 0) == 0 {
		t.Error(p, err)
	}
}

func TestAProgramDoesNotAllocate(t *testing.T) {
	p, err := Compile("tcp port 80 and (((ip[2:2] - ((ip[0]&0xf)<<2)) - ((tcp[12]&0xf0)>>2)) != 0)", 60)
	if err != nil {
		t.Fatal(err)
	}
	segment := make([]byte, 30)
	segment[3], segment[12] = 80, 0x50
	frame := workertest.IPv4([]byte{1, 1, 1, 1}, []byte{2, 2, 2, 2}, 6, segment)
	if n := testing.AllocsPerRun(100, func() {
		if p.Run(frame, uint32(len(frame))) != 60 {
			t.Fatal("it is not taken")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRun(b *testing.B) {
	p, err := Compile("tcp port 80 and host 192.0.2.1", 60)
	if err != nil {
		b.Fatal(err)
	}
	frame := workertest.IPv4([]byte{192, 0, 2, 1}, []byte{2, 2, 2, 2}, 6, []byte{0, 80, 0, 80})
	for b.Loop() {
		p.Run(frame, 100)
	}
}

func FuzzCompile(f *testing.F) {
	for expression := range recorded(f) {
		f.Add(expression)
	}
	corpus := frames()[:50]
	f.Fuzz(func(t *testing.T, expression string) {
		p, err := Compile(expression, 1)
		if (err != nil) && p != nil {
			t.Error("a program and an error")
		}
		for _, frame := range corpus {
			p.Run(frame, uint32(len(frame)))
		}
	})
}
