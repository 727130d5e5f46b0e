package bpftest

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"unsafe"

	"github.com/cilium/ebpf"
)

// Numbers of files/bpf/tripod_policy.h, which leave no mark in the object.
const (
	ActionNone = 0
	ActionPass = 1
	ActionDrop = 2
	// ActionAFXDP is a service's, to a queue's socket.
	ActionAFXDP = 4

	featureSources  = 1 << 0
	featureRules    = 1 << 2
	featureServices = 1 << 3
	fieldProtocol   = 1 << 2
	tableValue      = 1 << 31
	limitGlobal     = 3

	// udp is the protocol of everything that rules and services match; its set is this number.
	udp    = 17
	udpSet = 1
)

// header is struct policy.
type header struct {
	ABI, Features, Fields uint32
	DefaultAction         uint8
	_                     [3]uint8
	EveryPacket           [8]uint8 // by number, 0 is none
	_                     [8]uint8
	_                     [32]uint8 // digest
	ObservedRules         [16]uint64
	Limits                [256]limit
	Lists                 [256]part
	Rules                 [1024]part
	Services              [128]part
	Protocol              [256]uint16
	_                     [4]uint16        // fragment
	_                     [256 + 4]uint16  // TCP flags
	_                     [512 + 4]uint16  // ICMP type
	_                     [4096 + 4]uint16 // VLAN
	_                     [2][65536 + 4]uint16
	_                     [65536]uint16 // length
	_                     [2][64]uint32 // pages of sources and destinations
	Source4, Destination4 [1 << 16]uint32
}

type limit struct {
	PacketCost, ByteCost, Span, Seed uint64
	_                                [2]uint64
	_                                uint32
	Counter, Next                    uint16
	Scope, Observe                   uint8
	_                                [6]uint8
}

// part is struct policy_list and struct policy_part, which have the same members.
type part struct {
	Counter, Limit uint16
	Action         uint8
	_              [3]uint8
}

type sourceResult struct {
	List, Observed uint8
	Set, Drops     uint16
	Trusted        uint8
	_              uint8
}

type fieldSet struct {
	Trusted, Words uint64
	Services       [2]uint64
	Rules          [16]uint64
	_              [4]uint64
}

// compiled is the whole value: struct policy and the tables behind it, each at a multiple of 64 bytes.
type compiled struct {
	header
	_       [64 - unsafe.Sizeof(header{})%64]uint8
	Results [1 << 16]sourceResult
	Sets    [2]fieldSet
	Index6  [1 << 16]uint32 // one page
	_       [4096]uint8
}

// size is a multiple of 4096 within the value.
const size = unsafe.Sizeof(compiled{}) &^ 4095

// bounds are struct policy_bounds: offsets and counts by name.
var bounds = []uint32{
	uint32(size),
	uint32(unsafe.Offsetof(compiled{}.Results)), uint32(len(compiled{}.Results)),
	uint32(unsafe.Offsetof(compiled{}.Sets)), uint32(len(compiled{}.Sets)),
	0, 0,
	uint32(unsafe.Offsetof(compiled{}.Index6)), uint32(len(compiled{}.Index6)),
	0, 0, 0, 0, 0, 0,
}

// Policy is a compiled policy of few parts, as the host's compiler makes them of any: lists of whole /16 (of IPv6 whole /22),
// rules and services on UDP, and limits for every packet. Each part is named by its slot of the map of hits.
type Policy struct {
	value                         *compiled
	lists, rules, limits, results int
}

// NewPolicy returns a policy that passes everything.
func NewPolicy() *Policy {
	p := &Policy{value: new(compiled)}
	p.value.ABI = 1
	p.value.DefaultAction = ActionPass
	for _, table := range []*[1 << 16]uint32{&p.value.Source4, &p.value.Destination4, &p.value.Index6} {
		for i := range table {
			table[i] = tableValue
		}
	}
	return p
}

// Default says what becomes of packets that nothing matches.
func (p *Policy) Default(action uint8) *Policy {
	p.value.DefaultAction = action
	return p
}

// Trusted makes a prefix trusted.
func (p *Policy) Trusted(prefix string) *Policy {
	p.source(prefix).Trusted = 1
	return p
}

// List adds a list of one prefix.
func (p *Policy) List(slot uint16, action uint8, prefix string) *Policy {
	source := p.source(prefix)
	source.List = p.list(slot, action)
	if action == ActionDrop {
		source.Drops = slot
	}
	return p
}

// ObservedList adds a list of one prefix that is in observe mode.
func (p *Policy) ObservedList(slot uint16, action uint8, prefix string) *Policy {
	p.source(prefix).Observed = p.list(slot, action)
	return p
}

// Rule adds a rule on UDP, behind those that are there.
func (p *Policy) Rule(slot uint16, action uint8, observed bool) *Policy {
	p.value.Rules[p.rules] = part{Counter: slot, Action: action}
	p.value.Features |= featureRules
	set := p.udp()
	set.Words = 1
	set.Rules[0] |= 1 << p.rules
	if observed {
		p.value.ObservedRules[0] |= 1 << p.rules
	}
	p.rules++
	return p
}

// Service makes the service on UDP.
func (p *Policy) Service(slot uint16, action uint8) *Policy {
	p.value.Services[0] = part{Counter: slot, Action: action}
	p.value.Features |= featureServices
	p.udp().Services[0] = 1
	return p
}

// Limit adds a limit for every packet: so many at once, and one more in a minute.
func (p *Policy) Limit(slot uint16, burst uint64, observed bool) *Policy {
	number := p.limit(slot, burst)
	if observed {
		p.value.Limits[number].Observe = 1
	}
	p.value.EveryPacket[bytes.IndexByte(p.value.EveryPacket[:], 0)] = uint8(number)
	return p
}

// ServiceLimit gives the service a limit, likewise.
func (p *Policy) ServiceLimit(slot uint16, burst uint64) *Policy {
	p.value.Services[0].Limit = p.limit(slot, burst)
	return p
}

func (p *Policy) limit(slot uint16, burst uint64) uint16 {
	const cost = 1 << 50
	p.limits++
	p.value.Limits[p.limits] = limit{PacketCost: cost, Span: burst * cost, Counter: slot, Scope: limitGlobal}
	return uint16(p.limits)
}

func (p *Policy) list(slot uint16, action uint8) uint8 {
	p.lists++
	p.value.Lists[p.lists] = part{Counter: slot, Action: action}
	return uint8(p.lists)
}

// source returns what all addresses of a prefix say.
func (p *Policy) source(text string) *sourceResult {
	prefix := netip.MustParsePrefix(text)
	address := prefix.Addr().AsSlice()
	place := &p.value.Source4[binary.BigEndian.Uint16(address)]
	if prefix.Addr().Is6() {
		// Every page is the one.
		place = &p.value.Index6[binary.BigEndian.Uint32(address)>>10&0xffff]
	}
	number := *place &^ tableValue
	if number == 0 {
		p.results++
		number = uint32(p.results)
		*place = tableValue | number
	}
	p.value.Features |= featureSources
	return &p.value.Results[number]
}

func (p *Policy) udp() *fieldSet {
	p.value.Protocol[udp] = udpSet
	p.value.Fields = fieldProtocol
	return &p.value.Sets[udpSet]
}

// SetPolicy puts a policy in the place of the one that an interface is judged by.
func (h *Host) SetPolicy(name string, p *Policy) {
	h.t.Helper()
	spec, err := ebpf.LoadCollectionSpec(Object(h.t))
	h.must(err)
	fit(spec)
	inner, err := ebpf.NewMap(spec.Maps["policy"].InnerMap)
	h.must(err)
	defer inner.Close()
	h.must(inner.Put(uint32(0), unsafe.Slice((*byte)(unsafe.Pointer(p.value)), size)))
	outer, err := ebpf.LoadPinnedMap(h.Map(name, "policy"), nil)
	h.must(err)
	defer outer.Close()
	h.must(outer.Put(uint32(0), inner))
}

// fit makes a collection take policies of the bounds that are here.
func fit(spec *ebpf.CollectionSpec) {
	spec.Maps["policy"].InnerMap.ValueSize = uint32(size)
	for i, value := range bounds {
		binary.NativeEndian.PutUint32(spec.Variables["bounds"].Value[4*i:], value)
	}
}

// Tap has every packet that a list drops, or would have, sampled for one of the program's taps, and none for the other.
func (h *Host) Tap(name string, number int) {
	h.t.Helper()
	const first, taps, tapSize, listDrop = 4, 64, 128, 1 << 2
	control, err := ebpf.LoadPinnedMap(h.Map(name, "control"), nil)
	h.must(err)
	defer control.Close()
	value := make([]byte, control.ValueSize())
	for _, at := range []int{first, taps + number*tapSize} {
		binary.NativeEndian.PutUint32(value[at:], listDrop)
		binary.NativeEndian.PutUint32(value[at+4:], listDrop)
	}
	h.must(control.Put(uint32(0), value))
}
