package worker

import (
	"log/slog"
	"testing"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/umem"
	"tripod/go-backend/internal/xsk"
)

// consuming is the least that a handler can do.
type consuming struct{}

func (consuming) Name() string      { return "consuming" }
func (consuming) Reasons() []string { return nil }
func (consuming) Handle([]Packet)   {}

// BenchmarkHandle is what a packet costs between two rings.
func BenchmarkHandle(b *testing.B) {
	h := bpftest.NewHost(b)
	area, err := umem.New(umem.Config{Frames: 512, FrameSize: 4096, Node: umem.AnyNode})
	if err != nil {
		b.Fatal(err)
	}
	defer area.Close()
	pool, err := area.Pool(512)
	if err != nil {
		b.Fatal(err)
	}
	group := xsk.NewGroup(area, slog.New(slog.DiscardHandler))
	defer group.Close()
	socket, err := group.Open(xsk.Config{Interface: h.AddInterface(), Rx: 128, Tx: 128, Fill: 256}, pool)
	if err != nil {
		b.Fatal(err)
	}
	stage, err := newStage(consuming{})
	if err != nil {
		b.Fatal(err)
	}
	config := Config{Socket: socket, Handler: consuming{}, Batch: DefaultBatch}
	w := &Worker{config: config, ports: config.ports(), packets: make([]Packet, config.Batch)}
	w.stage.Store(stage)
	addresses, entries := make([]uint64, config.Batch), make([]xsk.Desc, config.Batch)
	for b.Loop() {
		pool.Take(addresses)
		for i, address := range addresses {
			entries[i] = xsk.Desc{Addr: area.Start(address), Len: 60}
		}
		w.handle(0, entries)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*config.Batch), "ns/packet")
}
