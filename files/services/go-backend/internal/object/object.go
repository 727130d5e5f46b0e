// Package object reads the XDP object file: what is loaded from it, and the names of its enumerations.
package object

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/rescue"
)

// Names inside the object that user space refers to.
const (
	ProgramName = "tripod_xdp"
	// FragmentsProgramName is the same for frames that lie in several buffers.
	FragmentsProgramName = "tripod_xdp_frags"
	// EntryName is how the names of the programs begin that only hand packets on: to one of somebody else, then to ours.
	EntryName = "tripod_entry"

	PolicyName   = "policy"
	CountersName = "counters"
	HitsName     = "hits"
	TraceName    = "trace"
	// SocketsName is the map of AF_XDP sockets by queue.
	SocketsName = "xsks"
	// SamplesName is the ring of samples.
	SamplesName = "samples"
	// ExtensionsName holds programs of others.
	ExtensionsName = "extensions"
	// ScratchesName is where the program keeps what does not fit on its stack.
	ScratchesName = "scratches"

	// ConstantsName is the map of the constants, and ConstantsPin what the host calls it: a pin takes no dot in its name.
	ConstantsName = ".rodata"
	ConstantsPin  = "rodata"
	// TracingName writes a record of each packet.
	TracingName = "tracing"
	// ChargingName lets limits, hits and bans count; a twin only looks.
	ChargingName = "charging"
	// ExtendedName asks somebody else's program after ours.
	ExtendedName = "extended"
)

// Pin returns what the host calls the pin of a map: the constants by ConstantsPin, the variables of a section .data.NAME by NAME.
func Pin(name string) string {
	return strings.TrimPrefix(strings.TrimPrefix(name, ".data"), ".")
}

// PolicyNames returns what the host calls the pins of the maps that the program judges by.
func PolicyNames() []string {
	return []string{PolicyName, "bans", "buckets", "control", ConstantsPin}
}

// EarlierPolicyNames returns those of release 1.0.0, whose policy was one access list.
func EarlierPolicyNames() []string {
	return []string{"acl_v4", "acl_v6"}
}

// maxSize is far above any object (bytes); a file beyond it is something else, and is not read into memory.
const maxSize = 4 << 20

// digestName is how the host names an object; the path in use is a link to one.
var digestName = regexp.MustCompile(`^([0-9a-f]{64})\.bpf\.o$`)

// The object's macros, which leave no mark in BTF; Load checks what follows from them.
const (
	VerdictSlots = 8
	ReasonSlots  = 16
	HitSlots     = 4096
)

// Counter is struct counter.
type Counter struct {
	Packets uint64 `btf:"packets"`
	Bytes   uint64 `btf:"bytes"`
}

// Add adds what another CPU counted.
func (c *Counter) Add(other Counter) {
	c.Packets += other.Packets
	c.Bytes += other.Bytes
}

// Hit is struct hit: what one part of the policy has met.
type Hit struct {
	Packets         uint64 `btf:"packets"`
	Bytes           uint64 `btf:"bytes"`
	ObservedPackets uint64 `btf:"observed_packets"`
	ObservedBytes   uint64 `btf:"observed_bytes"`
	Last            uint64 `btf:"last"` // jiffies64
}

// Add adds what another CPU has met.
func (h *Hit) Add(other Hit) {
	h.Packets += other.Packets
	h.Bytes += other.Bytes
	h.ObservedPackets += other.ObservedPackets
	h.ObservedBytes += other.ObservedBytes
	h.Last = max(h.Last, other.Last)
}

// AskedLimit is struct asked_limit.
type AskedLimit struct {
	Slot     uint16 `btf:"slot"`
	Outcome  uint8  `btf:"outcome"`
	Reserved uint8  `btf:"reserved"`
}

// Values of enum limit_outcome.
const (
	Conformed = 1
	Exceeded  = 2
	Observed  = 3
)

// ServiceLimits is from which place on the limits of a TraceRecord are its service's.
const ServiceLimits = 12

// TraceRecord is struct trace_record: what became of the last packet, and by whose word. Parts are named by their slot of the
// map of hits, and 0 is none.
type TraceRecord struct {
	Verdict         uint32         `btf:"verdict"`
	Reason          uint32         `btf:"reason"`
	Would           uint32         `btf:"would"` // 0 where no part in observe mode had a say, like WouldReason
	WouldReason     uint32         `btf:"would_reason"`
	Now             uint64         `btf:"now"`  // jiffies64
	Time            uint64         `btf:"time"` // ns of CLOCK_BOOTTIME
	Length          uint32         `btf:"length"`
	Slot            uint16         `btf:"slot"`
	WouldSlot       uint16         `btf:"would_slot"`
	List            uint16         `btf:"list"`
	ObservedList    uint16         `btf:"observed_list"`
	Rule            uint16         `btf:"rule"`
	ObservedRule    uint16         `btf:"observed_rule"`
	Service         uint16         `btf:"service"`
	Trusted         uint8          `btf:"trusted"`
	Banned          uint8          `btf:"banned"`
	NetworkOffset   uint16         `btf:"network_offset"`
	TransportOffset uint16         `btf:"transport_offset"`
	SourcePort      uint16         `btf:"source_port"`
	DestinationPort uint16         `btf:"destination_port"`
	VLAN            uint16         `btf:"vlan"`
	VLANTags        uint8          `btf:"vlan_tags"`
	Family          uint8          `btf:"family"`
	Protocol        uint8          `btf:"protocol"`
	Fragment        uint8          `btf:"fragment"`
	TCPFlags        uint8          `btf:"tcp_flags"`
	ICMPType        uint8          `btf:"icmp_type"`
	Source          [16]uint8      `btf:"source"`
	Destination     [16]uint8      `btf:"destination"`
	Limits          [14]AskedLimit `btf:"limits"` // in the order in which they were asked, with gaps
	LastOutcome     uint32         `btf:"last_outcome"`
}

// Enum names the values of one enumeration as every wire does: lower case, without the common prefix.
type Enum map[uint32]string

// Name returns the value's name; a value that a newer program may have written stays recognisable.
func (e Enum) Name(value uint32) string {
	if name, ok := e[value]; ok {
		return name
	}
	return fmt.Sprintf("unknown_%d", value)
}

// Names are the names of what is counted.
type Names struct {
	Verdicts, Reasons Enum
}

// kernelNames are those that need no object: enum xdp_action of linux/bpf.h.
var kernelNames = Names{Verdicts: Enum{0: "aborted", 1: "drop", 2: "pass", 3: "tx", 4: "redirect"}}

// ErrUnusable is returned where the object file is missing, damaged, or of another release.
var ErrUnusable = errors.New("unusable XDP object")

// Object is a parsed object file. It is immutable.
type Object struct {
	Path string
	Names

	spec *ebpf.CollectionSpec
}

// Load parses the object at path and checks that its layout is the one this package was written for.
func Load(path string) (*Object, error) {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w: put the object there again", ErrUnusable, err)
	}
	content, err := readFile(target)
	if err != nil {
		return nil, fmt.Errorf("%w: %w: put the object there again", ErrUnusable, err)
	}
	if name := digestName.FindStringSubmatch(filepath.Base(target)); name != nil {
		if digest := fmt.Sprintf("%x", sha256.Sum256(content)); digest != name[1] {
			return nil, fmt.Errorf("%w: %s has the SHA-256 digest %s, which is not its name: put the object there again",
				ErrUnusable, target, digest)
		}
	}
	return parse(path, content)
}

// readFile refuses what would block, such as a pipe, or has no end.
func readFile(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	content, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxSize {
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxSize)
	}
	return content, nil
}

// parse reads the content of an object file. A panic of the parsers below is one more way to say that it is damaged.
func parse(path string, content []byte) (*Object, error) {
	o := &Object{Path: path}
	err := rescue.Do("object "+path, func() (err error) {
		if err := checkBounds(content); err != nil {
			return err
		}
		o.spec, err = ebpf.LoadCollectionSpecFromReader(bytes.NewReader(content))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w: put the object there again", ErrUnusable, path, err)
	}
	if err := rescue.Do("object "+path, o.read); err != nil {
		return nil, fmt.Errorf("%w %s: use object and go-backend from one release: %w", ErrUnusable, path, err)
	}
	return o, nil
}

// Spec returns a copy of the collection, for the caller to change and load.
func (o *Object) Spec() *ebpf.CollectionSpec {
	spec := o.spec.Copy()
	for _, program := range spec.Programs {
		program.Instructions = Link(program.Instructions)
	}
	return spec
}

func (o *Object) read() error {
	if o.spec.Types == nil {
		return errors.New("it carries no BTF")
	}
	for _, name := range []string{ProgramName, FragmentsProgramName} {
		if _, ok := o.spec.Programs[name]; !ok {
			return fmt.Errorf("no program %s", name)
		}
	}
	for _, name := range []string{TracingName, ChargingName, ExtendedName} {
		if variable, ok := o.spec.Variables[name]; !ok || variable.SectionName != ConstantsName {
			return fmt.Errorf("no constant %s", name)
		}
	}
	for _, enum := range []struct {
		to           *Enum
		name, prefix string
		slots        uint32
	}{
		{&o.Verdicts, "xdp_action", "XDP_", VerdictSlots},
		{&o.Reasons, "tripod_reason", "REASON_", ReasonSlots},
	} {
		names, err := readEnum(o.spec.Types, enum.name, enum.prefix, enum.slots)
		if err != nil {
			return err
		}
		*enum.to = names
	}
	for name, layout := range map[string]reflect.Type{
		"counter":      reflect.TypeFor[Counter](),
		"hit":          reflect.TypeFor[Hit](),
		"asked_limit":  reflect.TypeFor[AskedLimit](),
		"trace_record": reflect.TypeFor[TraceRecord](),
	} {
		if err := checkStruct(o.spec.Types, name, layout); err != nil {
			return err
		}
	}
	for name, want := range map[string]uint32{CountersName: VerdictSlots * ReasonSlots, HitsName: HitSlots, TraceName: 1} {
		m, ok := o.spec.Maps[name]
		if !ok {
			return fmt.Errorf("no map %s", name)
		}
		if m.MaxEntries != want {
			return fmt.Errorf("map %s has %d entries, not %d", name, m.MaxEntries, want)
		}
	}
	return nil
}

// readEnum returns the enumerators whose values are below limit; one that is not, or lacks the prefix, is an error.
func readEnum(types *btf.Spec, name, prefix string, limit uint32) (Enum, error) {
	var found *btf.Enum
	if err := types.TypeByName(name, &found); err != nil {
		return nil, fmt.Errorf("enum %s: %w", name, err)
	}
	names := make(Enum, len(found.Values))
	for _, v := range found.Values {
		short, ok := strings.CutPrefix(v.Name, prefix)
		if !ok {
			return nil, fmt.Errorf("enum %s: enumerator %s does not start with %s", name, v.Name, prefix)
		}
		if v.Value >= uint64(limit) {
			return nil, fmt.Errorf("enum %s: %s is %d, not below %d", name, v.Name, v.Value, limit)
		}
		names[uint32(v.Value)] = strings.ToLower(short)
	}
	return names, nil
}

// checkStruct compares a Go struct, whose fields are tagged with the C names, with the object's.
func checkStruct(types *btf.Spec, name string, layout reflect.Type) error {
	var found *btf.Struct
	if err := types.TypeByName(name, &found); err != nil {
		return fmt.Errorf("struct %s: %w", name, err)
	}
	if uintptr(found.Size) != layout.Size() || len(found.Members) != layout.NumField() {
		return fmt.Errorf("struct %s has %d bytes in %d members, not %d in %d",
			name, found.Size, len(found.Members), layout.Size(), layout.NumField())
	}
	for i, member := range found.Members {
		field := layout.Field(i)
		size, err := btf.Sizeof(member.Type)
		if err != nil {
			return fmt.Errorf("struct %s: %s: %w", name, member.Name, err)
		}
		if member.Name != field.Tag.Get("btf") ||
			uintptr(member.Offset.Bytes()) != field.Offset || uintptr(size) != field.Type.Size() {
			return fmt.Errorf("struct %s: member %d is %s, %d bytes at %d, not %s, %d bytes at %d", name, i,
				member.Name, size, member.Offset.Bytes(), field.Tag.Get("btf"), field.Type.Size(), field.Offset)
		}
	}
	return nil
}
