package cbpf

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Ethertypes.
const (
	typeIPv4 = 0x0800
	typeARP  = 0x0806
	typeRARP = 0x8035
	typeIPv6 = 0x86dd
)

var ethertypes = map[string]uint32{
	"ip": typeIPv4, "ip6": typeIPv6, "arp": typeARP, "rarp": typeRARP, "atalk": 0x809b, "aarp": 0x80f3, "decnet": 0x6003, "sca": 0x6007,
	"lat": 0x6004, "mopdl": 0x6001, "moprc": 0x6002, "loopback": 0x9000,
}

// protocols are above IP, by name.
var protocols = map[string]uint32{
	"icmp": 1, "igmp": 2, "tcp": 6, "igrp": 9, "udp": 17, "esp": 50, "ah": 51, "icmp6": 58, "pim": 103, "vrrp": 112, "sctp": 132,
}

// families says of which version of IP a protocol's name alone is; others are of both.
var families = map[string]uint32{"icmp": typeIPv4, "igmp": typeIPv4, "igrp": typeIPv4, "vrrp": typeIPv4, "icmp6": typeIPv6}

const fragmentHeader = 44

// qualifier is what an address or a port is of.
type qualifier struct {
	protocol  string // ether, ip, ip6, arp, rarp, tcp, udp, sctp, or "" for all
	direction string // src, dst, src and dst, or "" for either
	kind      string // host, net, port, portrange, proto, or "" for what it looks like
}

// unknown are words of the language that are refused, with the reason.
var unknown = map[string]string{
	"gateway": "gateways are known by names, and names are not looked up",
	"inbound": "a queue's packets are all received", "outbound": "a queue's packets are all received",
	"mpls": mostTunnels, "pppoes": mostTunnels, "pppoed": mostTunnels, "geneve": mostTunnels, "vxlan": mostTunnels,
	"wlan": notEthernet, "fddi": notEthernet, "tr": notEthernet, "ppp": notEthernet, "slip": notEthernet, "lane": notEthernet,
	"llc": notEthernet, "stp": notEthernet, "iso": notEthernet, "clnp": notEthernet, "esis": notEthernet, "isis": notEthernet,
	"ipx": notEthernet, "netbeui": notEthernet, "protochain": "headers are not followed by it: ip6 proto N looks behind a fragment's",
	"ifname": notPF, "rnr": notPF, "rset": notPF, "reason": notPF, "action": notPF, "on": notPF, "rulenum": notPF, "ruleset": notPF,
}

const (
	mostTunnels = "tunnels but VLANs are not looked into"
	notEthernet = "frames are Ethernet II's"
	notPF       = "there is no packet filter's log"
)

// primitive is one condition, or a bare address or port after one, which is of what was said last.
func (p *parser) primitive() condition {
	start := p.at
	var q qualifier
	word := p.peek()
	switch {
	case word == "":
		p.fail("a condition is expected, such as host 192.0.2.1, tcp port 80 or vlan 7")
		return nil
	case unknown[word] != "":
		p.fail("%s", unknown[word])
		return nil
	case p.accept("vlan"):
		return p.vlan()
	case p.accept("less"):
		return opposite{test{load: []Instruction{{Code: classLoad | modeLength}}, operation: greater, value: p.number(1<<32 - 1)}}
	case p.accept("greater"):
		return test{load: []Instruction{{Code: classLoad | modeLength}}, operation: greaterEqual, value: p.number(1<<32 - 1)}
	case p.accept("broadcast"):
		return p.station("ff:ff:ff:ff:ff:ff", "dst")
	case p.accept("multicast"):
		return test{load: load(sizeByte, 0), operation: anyOf, value: 1}
	}
	if _, known := ethertypes[word]; known || protocols[word] != 0 || word == "ether" || word == "link" {
		q.protocol = p.next()
	}
	if q.protocol == "link" {
		q.protocol = "ether"
	}
	q.direction = p.direction()
	if why := unknown[p.peek()]; why != "" {
		p.fail("%s", why)
		return nil
	}
	switch word := p.peek(); word {
	case "host", "net", "port", "portrange", "proto":
		q.kind = p.next()
	case "broadcast", "multicast":
		p.at++
		return p.group(q, word)
	}
	if p.at == start+1 && q.protocol != "" {
		p.last = nil
		return p.abbreviation(q.protocol)
	}
	if p.at == start && p.last != nil {
		q = *p.last
	}
	if p.at == start && p.last == nil {
		p.fail("it is no condition: say host, net or port before an address or a number")
		return nil
	}
	return p.identifiers(q)
}

func (p *parser) direction() string {
	word := p.peek()
	if !p.accept("src", "dst") {
		return ""
	}
	other := map[string]string{"src": "dst", "dst": "src"}[word]
	if p.ahead(1) != other {
		return word
	}
	switch p.peek() {
	case "or", "||":
		p.at += 2
		return ""
	case "and", "&&":
		p.at += 2
		return "src and dst"
	}
	return word
}

// identifiers is one address, port or protocol, or some in parentheses, all of one qualifier.
func (p *parser) identifiers(q qualifier) condition {
	if q.kind == "" {
		q.kind = "host"
	}
	p.last = &q
	if p.accept("(") {
		found := p.identifiers(q)
		for p.fault == nil {
			switch {
			case p.accept("or", "||"):
				found = either{found, p.identifiers(q)}
			case p.accept("and", "&&"):
				found = both{found, p.identifiers(q)}
			default:
				p.expect(")")
				return found
			}
		}
		return nil
	}
	if p.accept("not", "!") {
		return opposite{p.identifiers(q)}
	}
	if p.peek() == "" {
		p.fail("what %s is missing", q.kind)
		return nil
	}
	switch q.kind {
	case "host":
		return p.host(q)
	case "net":
		return p.net(q)
	case "port", "portrange":
		return p.port(q)
	}
	return p.proto(q)
}

func (p *parser) number(most uint64) uint32 {
	n, err := strconv.ParseUint(p.peek(), 0, 32)
	if err != nil || n > most || strings.Contains(p.peek(), "_") {
		p.fail("a number from 0 to %d is expected", most)
		return 0
	}
	p.at++
	return uint32(n)
}

// load reads bytes at a place.
func load(size uint16, place uint32) []Instruction {
	return []Instruction{{Code: classLoad | modeAbsolute | size, K: place}}
}

func (p *parser) ethertype(value uint32) condition {
	return test{load: load(sizeHalf, p.link), operation: equal, value: value}
}

// byteAt is a byte of the network header.
func (p *parser) byteAt(place, value uint32) condition {
	return test{load: load(sizeByte, p.network+place), operation: equal, value: value}
}

// unfragmented is an IPv4 packet that has what is above IP at its start.
func (p *parser) unfragmented() condition {
	return opposite{test{load: load(sizeHalf, p.network+6), operation: anyOf, value: 0x1fff}}
}

// vlan is a frame with a tag, of a number where one follows. All that follows is behind the tag.
func (p *parser) vlan() condition {
	var tagged condition = p.ethertype(0x8100)
	for _, other := range []uint32{0x88a8, 0x9100} {
		tagged = either{tagged, p.ethertype(other)}
	}
	if word := p.peek(); word != "" && word[0] >= '0' && word[0] <= '9' {
		tagged = both{tagged, test{load: load(sizeHalf, p.network), mask: 0x0fff, operation: equal, value: p.number(0x0fff)}}
	}
	p.link, p.network, p.last = p.link+4, p.network+4, nil
	return tagged
}

// abbreviation is a protocol's name alone.
func (p *parser) abbreviation(name string) condition {
	if value, known := ethertypes[name]; known {
		return p.ethertype(value)
	}
	if name == "ether" {
		p.fail("ether needs host, src, dst, proto, broadcast or multicast")
		return nil
	}
	return p.protocol(protocols[name], families[name])
}

// protocol is a packet of a protocol above IP, of one version or, with 0, of any.
func (p *parser) protocol(value, family uint32) condition {
	four := both{p.ethertype(typeIPv4), p.byteAt(9, value)}
	// A fragment of IPv6 has it in the header behind.
	behind := both{p.byteAt(6, fragmentHeader), p.byteAt(40, value)}
	six := both{p.ethertype(typeIPv6), either{p.byteAt(6, value), behind}}
	switch family {
	case typeIPv4:
		return four
	case typeIPv6:
		return six
	}
	return either{four, six}
}

// group is "ether broadcast" and the like.
func (p *parser) group(q qualifier, word string) condition {
	switch {
	case q.direction != "":
		p.failBefore("src and dst do not go with it")
	case word == "broadcast" && (q.protocol == "ether" || q.protocol == ""):
		return p.station("ff:ff:ff:ff:ff:ff", "dst")
	case word == "multicast" && (q.protocol == "ether" || q.protocol == ""):
		return test{load: load(sizeByte, 0), operation: anyOf, value: 1}
	case word == "multicast" && q.protocol == "ip":
		return both{p.ethertype(typeIPv4), test{load: load(sizeByte, p.network+16), operation: greaterEqual, value: 224}}
	case word == "multicast" && q.protocol == "ip6":
		return both{p.ethertype(typeIPv6), p.byteAt(24, 255)}
	case q.protocol == "ip":
		p.failBefore("the network's mask is not known here: name the address")
	default:
		p.failBefore("it does not go with %s", q.protocol)
	}
	return nil
}

// directed is a condition on a source, a destination, or both.
func directed(direction string, source, destination condition) condition {
	switch direction {
	case "src":
		return source
	case "dst":
		return destination
	case "src and dst":
		return both{source, destination}
	}
	return either{source, destination}
}

// station is an Ethernet address.
func (p *parser) station(text, direction string) condition {
	mac, err := net.ParseMAC(text)
	if err != nil || len(mac) != 6 {
		p.fail("an Ethernet address is expected, such as 02:00:00:00:00:01")
		return nil
	}
	at := func(place uint32) condition {
		return both{
			test{load: load(sizeWord, place+2), operation: equal, value: binary.BigEndian.Uint32(mac[2:])},
			test{load: load(sizeHalf, place), operation: equal, value: uint32(binary.BigEndian.Uint16(mac))},
		}
	}
	return directed(direction, at(6), at(0))
}

func (p *parser) proto(q qualifier) condition {
	if q.direction != "" {
		p.fail("proto has no direction")
		return nil
	}
	word := strings.TrimPrefix(p.peek(), `\`)
	if q.protocol == "ether" {
		value, known := ethertypes[word]
		if known {
			p.at++
		} else if value = p.number(0xffff); p.fault == nil && value < 0x600 {
			p.failBefore("ethertypes begin at 0x600; %s", notEthernet)
		}
		return p.ethertype(value)
	}
	value, known := protocols[word]
	if known {
		p.at++
	} else {
		value = p.number(255)
	}
	switch q.protocol {
	case "":
		return p.protocol(value, 0)
	case "ip", "ip6":
		return p.protocol(value, ethertypes[q.protocol])
	}
	p.failBefore("proto goes with ether, ip and ip6, not with %s", q.protocol)
	return nil
}

func (p *parser) host(q qualifier) condition {
	if q.protocol == "ether" {
		found := p.station(p.peek(), q.direction)
		p.at++
		return found
	}
	if strings.Contains(p.peek(), "/") {
		return p.net(q)
	}
	address, err := netip.ParseAddr(p.peek())
	if err != nil || address.Zone() != "" {
		if q.kind == "host" && partial(p.peek()) {
			return p.net(q)
		}
		p.fail("an address is expected, such as 192.0.2.1 or 2001:db8::1; names are not looked up")
		return nil
	}
	p.at++
	return p.addresses(q, netip.PrefixFrom(address, address.BitLen()))
}
