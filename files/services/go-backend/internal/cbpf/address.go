package cbpf

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
)

// partial tells whether a word is the first part of an IPv4 address.
func partial(word string) bool {
	_, ok := begun(word)
	return ok
}

// begun returns the network of the first numbers of an IPv4 address, such as 10.1.
func begun(word string) (netip.Prefix, bool) {
	pieces := strings.Split(word, ".")
	if len(pieces) > 4 {
		return netip.Prefix{}, false
	}
	var address [4]byte
	for i, piece := range pieces {
		n, err := strconv.ParseUint(piece, 10, 8)
		if err != nil {
			return netip.Prefix{}, false
		}
		address[i] = byte(n)
	}
	return netip.PrefixFrom(netip.AddrFrom4(address), 8*len(pieces)), true
}

// net is a network, with the length of its prefix, its mask, or the first numbers of its addresses.
func (p *parser) net(q qualifier) condition {
	word := p.next()
	text, length, sliced := strings.Cut(word, "/")
	prefix, ok := begun(text)
	if !ok {
		address, err := netip.ParseAddr(text)
		if err != nil || address.Is4() || address.Zone() != "" {
			p.failBefore("a network is expected, such as 192.0.2.0/24, 10.1 or 2001:db8::/32; names are not looked up")
			return nil
		}
		prefix = netip.PrefixFrom(address, 128)
	}
	if sliced {
		n, err := strconv.Atoi(length)
		if err != nil || n < 0 || n > prefix.Addr().BitLen() {
			p.failBefore("the length of its prefix is 0 to %d", prefix.Addr().BitLen())
			return nil
		}
		prefix = netip.PrefixFrom(prefix.Addr(), n)
	} else if p.accept("mask") {
		mask, err := netip.ParseAddr(p.next())
		if err != nil || !mask.Is4() || !prefix.Addr().Is4() {
			p.failBefore("an IPv4 mask is expected, such as 255.255.255.0")
			return nil
		}
		bytes := mask.As4()
		return p.masked(q, prefix.Addr(), binary.BigEndian.Uint32(bytes[:]))
	}
	if prefix != prefix.Masked() {
		p.failBefore("it has bits beyond its prefix: %s is the network", prefix.Masked())
		return nil
	}
	return p.addresses(q, prefix)
}

// addresses is packets from or to addresses of a prefix: of IPv4 ARP's too, where no protocol was said.
func (p *parser) addresses(q qualifier, prefix netip.Prefix) condition {
	if prefix.Addr().Is4() {
		mask := uint32(0xffffffff)
		if bits := prefix.Bits(); bits < 32 {
			mask = ^(mask >> bits)
		}
		return p.masked(q, prefix.Addr(), mask)
	}
	if q.protocol != "" && q.protocol != "ip6" {
		p.failBefore("an IPv6 address does not go with %s", q.protocol)
		return nil
	}
	if prefix.Bits() == 0 {
		return p.ethertype(typeIPv6)
	}
	bytes := prefix.Addr().As16()
	at := func(place uint32) condition {
		var found condition
		for i := range uint32((prefix.Bits() + 31) / 32) {
			one := test{load: load(sizeWord, p.network+place+4*i), operation: equal, value: binary.BigEndian.Uint32(bytes[4*i:])}
			if bits := prefix.Bits() - int(i)*32; bits < 32 {
				one.mask = ^(uint32(0xffffffff) >> bits)
			}
			if found == nil {
				found = one
			} else {
				found = both{found, one}
			}
		}
		return found
	}
	return both{p.ethertype(typeIPv6), directed(q.direction, at(8), at(24))}
}

// masked is addresses whose bits of a mask are an IPv4 address's.
func (p *parser) masked(q qualifier, address netip.Addr, mask uint32) condition {
	bytes := address.As4()
	value := binary.BigEndian.Uint32(bytes[:])
	if value&^mask != 0 {
		p.failBefore("it has bits beyond its mask")
		return nil
	}
	of := func(ethertype, source, destination uint32) condition {
		at := func(place uint32) condition {
			return test{load: load(sizeWord, p.network+place), mask: mask, operation: equal, value: value}
		}
		if mask == 0 {
			return p.ethertype(ethertype)
		}
		return both{p.ethertype(ethertype), directed(q.direction, at(source), at(destination))}
	}
	ip, arp, rarp := of(typeIPv4, 12, 16), of(typeARP, 14, 24), of(typeRARP, 14, 24)
	switch q.protocol {
	case "ip":
		return ip
	case "arp":
		return arp
	case "rarp":
		return rarp
	case "":
		return either{ip, either{arp, rarp}}
	}
	p.failBefore("an IPv4 address does not go with %s", q.protocol)
	return nil
}
