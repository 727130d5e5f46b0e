package worker_test

import (
	"log/slog"
	"testing"

	"github.com/cilium/ebpf"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/handlers"
	"tripod/go-backend/internal/umem"
	"tripod/go-backend/internal/worker"
	"tripod/go-backend/internal/xsk"
)

// TestTheProgramHandsItsServiceToAWorker has the map from where the host has pinned it.
func TestTheProgramHandsItsServiceToAWorker(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.Attach(name, nil)
	const slot = 9
	h.SetPolicy(name, bpftest.NewPolicy().Service(slot, bpftest.ActionAFXDP))
	sockets, err := ebpf.LoadPinnedMap(h.Map(name, "xsks"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sockets.Close()
	area, err := umem.New(umem.Config{Frames: 512, FrameSize: 4096, Node: umem.AnyNode})
	if err != nil {
		t.Fatal(err)
	}
	defer area.Close()
	pool, err := area.Pool(512)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	socket, err := xsk.NewGroup(area, log).Open(xsk.Config{Interface: name, Rx: 128, Tx: 128, Fill: 256}, pool)
	if err != nil {
		t.Fatal(err)
	}
	wire := h.Wire(name)
	w, err := worker.Start(worker.Config{
		Socket: socket, Sockets: sockets, Handler: handlers.Reflect{}, CPU: worker.AnyCPU, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Send(name, bpftest.Ethernet(bpftest.TypeARP, make([]byte, 46)), 3) // not the service's
	h.Send(name, frame, 20)
	for range 20 {
		wire.Next()
	}
	if err := w.Stop(); err != nil {
		t.Error(err)
	}
	if packets, _, sent, _ := total(w); packets != 20 || sent != 20 {
		t.Errorf("%d packets, %d sent", packets, sent)
	}
}
