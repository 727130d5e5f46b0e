package cbpf

import (
	"strconv"
	"strings"
)

// port is a port, or a range of them, of TCP, UDP and SCTP.
func (p *parser) port(q qualifier) condition {
	var above []uint32
	families := []uint32{typeIPv4, typeIPv6}
	switch q.protocol {
	case "":
		above = []uint32{protocols["tcp"], protocols["udp"], protocols["sctp"]}
	case "tcp", "udp", "sctp":
		above = []uint32{protocols[q.protocol]}
	default:
		p.fail("ports are of tcp, udp and sctp, not of %s", q.protocol)
		return nil
	}
	first, last, ranged := strings.Cut(p.next(), "-")
	if q.kind == "port" && ranged {
		p.failBefore("one port is expected; portrange takes two")
		return nil
	}
	if !ranged {
		last = first
	}
	from, err := strconv.ParseUint(first, 0, 16)
	to, err2 := strconv.ParseUint(last, 0, 16)
	if err != nil || err2 != nil {
		p.failBefore("a number from 0 to 65535 is expected; names of ports are not looked up")
		return nil
	}
	if from > to {
		from, to = to, from
	}
	var found condition
	for _, family := range families {
		for _, protocol := range above {
			one := p.ports(family, protocol, q.direction, uint32(from), uint32(to))
			if found == nil {
				found = one
			} else {
				found = either{found, one}
			}
		}
	}
	return found
}

func (p *parser) ports(family, protocol uint32, direction string, from, to uint32) condition {
	at := func(place uint32) condition {
		instructions := load(sizeHalf, p.network+40+place)
		if family == typeIPv4 {
			instructions = []Instruction{
				{Code: classLoadX | sizeByte | modeHeader, K: p.network},
				{Code: classLoad | modeIndexed | sizeHalf, K: p.network + place},
			}
		}
		if from == to {
			return test{load: instructions, operation: equal, value: from}
		}
		return both{
			test{load: instructions, operation: greaterEqual, value: from},
			opposite{test{load: instructions, operation: greater, value: to}},
		}
	}
	found := directed(direction, at(0), at(2))
	if family == typeIPv4 {
		return both{p.ethertype(family), both{p.byteAt(9, protocol), both{p.unfragmented(), found}}}
	}
	return both{p.ethertype(family), both{p.byteAt(6, protocol), found}}
}
