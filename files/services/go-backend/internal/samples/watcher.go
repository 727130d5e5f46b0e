package samples

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tripod/go-backend/gen/tripodv1"
	"tripod/go-backend/internal/agent"
	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/object"
	"tripod/go-backend/internal/rescue"
)

const (
	// every is how often the rings are looked at, which hold half a minute of samples.
	every = time.Second
	// perInterface is how many of a second are handed on: as many as the exporter's tap takes. A person's tap may take others, which
	// are nobody else's.
	perInterface = 100
	standing     = 1 << 0
)

// Take is handed what came, the oldest first, and how many more there were; it must not block.
type Take func(packets []*tripodv1.DroppedPacket, lost uint64)

// Watcher reads the rings of all interfaces.
type Watcher struct {
	root  dataplane.Root
	file  *object.File
	names *agent.Names
	log   *slog.Logger
	rings map[string]*held
	said  map[string]string
}

// held is a ring, and of which map: a program that is made anew may have another.
type held struct {
	*ring
	id ebpf.MapID
}

// NewWatcher returns one that names what it finds after the object file and the agent.
func NewWatcher(root dataplane.Root, file *object.File, names *agent.Names, log *slog.Logger) *Watcher {
	return &Watcher{root: root, file: file, names: names, log: log, rings: make(map[string]*held), said: make(map[string]string)}
}

// Run hands on what comes until the context ends.
func (w *Watcher) Run(ctx context.Context, take Take) {
	defer func() {
		for name := range w.rings {
			w.release(name)
		}
	}()
	rescue.Every(ctx, every, "samples", func() error {
		w.look(ctx, take)
		return nil
	})
}

// look reads what came since the last look.
func (w *Watcher) look(ctx context.Context, take Take) {
	names, err := w.root.Interfaces()
	if err != nil {
		return // which health says
	}
	known := make(map[string]bool, len(names))
	for _, name := range names {
		known[name] = true
		packets, lost, err := w.of(ctx, name)
		if err != nil {
			w.release(name)
			if w.said[name] != err.Error() {
				w.said[name] = err.Error()
				w.log.Debug("no samples", "interface", name, "error", err)
			}
			continue
		}
		delete(w.said, name)
		if len(packets) > 0 || lost > 0 {
			take(packets, lost)
		}
	}
	for name := range w.rings {
		if !known[name] {
			w.release(name)
		}
	}
}

func (w *Watcher) release(name string) {
	if ring, ok := w.rings[name]; ok {
		ring.close()
		delete(w.rings, name)
	}
}

// of returns what came of an interface.
func (w *Watcher) of(ctx context.Context, name string) (packets []*tripodv1.DroppedPacket, lost uint64, err error) {
	ring, err := w.ring(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	before := ring.missed
	records, err := ring.read()
	if err != nil {
		return nil, 0, err
	}
	lost = ring.missed - before
	kept := records[:0]
	for _, one := range records {
		if one.Taps&standing != 0 {
			kept = append(kept, one)
		}
	}
	if more := len(kept) - perInterface; more > 0 {
		lost += uint64(more)
		kept = kept[more:]
	}
	if len(kept) == 0 {
		return nil, lost, nil
	}
	offset, err := sinceBoot()
	if err != nil {
		return nil, 0, err
	}
	// Names that are the last known ones are better than none.
	known, _ := w.file.Names()
	slots := w.names.Of(ctx, name)
	for at := range kept {
		packets = append(packets, told(&kept[at], name, offset, known, slots))
	}
	return packets, lost, nil
}

// ring returns the ring of the program that is attached now.
func (w *Watcher) ring(ctx context.Context, name string) (*held, error) {
	found, err := w.root.Interface(ctx, name)
	if err != nil {
		return nil, err
	}
	m, err := found.OpenSamples()
	if err != nil {
		return nil, err
	}
	defer m.Close()
	info, err := m.Info()
	if err != nil {
		return nil, err
	}
	id, _ := info.ID()
	if ring, ok := w.rings[name]; ok {
		if ring.id == id {
			return ring, nil
		}
		w.release(name)
	}
	opened, err := open(m)
	if err != nil {
		return nil, err
	}
	w.rings[name] = &held{opened, id}
	return w.rings[name], nil
}

// sinceBoot returns what the kernel's clock is behind Unix time.
func sinceBoot() (time.Duration, error) {
	var monotonic unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &monotonic); err != nil {
		return 0, err
	}
	return time.Duration(time.Now().UnixNano() - monotonic.Nano()), nil
}

func told(r *record, name string, offset time.Duration, known object.Names, slots map[uint32]agent.Slot) *tripodv1.DroppedPacket {
	captured := min(int(r.Captured), len(r.Packet))
	seen := read(r.Packet[:captured], int(r.Length))
	packet := &tripodv1.DroppedPacket{
		Time: timestamppb.New(time.Unix(0, int64(r.Time)+int64(offset))), Interface: name, Queue: uint32(r.Queue),
		Verdict: known.Verdicts.Name(uint32(r.Verdict)), Reason: known.Reasons.Name(uint32(r.Reason)), Part: part(r.Slot, slots),
		Length: r.Length, Source: seen.Source, Destination: seen.Destination, Protocol: seen.Protocol,
		SourcePort: seen.SourcePort, DestinationPort: seen.DestinationPort, Vlan: seen.VLAN,
	}
	if r.Would != 0 {
		packet.Would, packet.WouldReason = known.Verdicts.Name(uint32(r.Would)), known.Reasons.Name(uint32(r.WouldReason))
		packet.WouldPart = part(r.WouldSlot, slots)
	}
	return packet
}

// part names what decided as the agent does: "rule:no-snmp", or "slot:17" where it has no name yet, or not any more.
func part(slot uint16, slots map[uint32]agent.Slot) string {
	if slot == 0 {
		return ""
	}
	if found, ok := slots[uint32(slot)]; ok {
		return found.Part + ":" + found.ID
	}
	return "slot:" + strconv.Itoa(int(slot))
}
