// Command receiver is a worker on its own, which benchmarks weigh beside one in C (tests/bench/afxdp_receiver.c): it takes the
// same arguments, and says the same.
//
// Usage: receiver HANDLER CPU BATCH SPIN MAP NIC [PEER MAC NEXT_HOP PEER_MAC PEER_NEXT_HOP]
//
// RECEIVER_WATCH in the environment lets it look at itself: "heap" at what allocates, "collect" at its latency while garbage is
// made and collected four times a second.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strconv"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/handlers"
	"tripod/go-backend/internal/umem"
	"tripod/go-backend/internal/worker"
	"tripod/go-backend/internal/xsk"
)

// result is what is said at the end: times in nanoseconds, of the process from when it was ready on.
type result struct {
	Packets     uint64 `json:"packets"`
	Forwarded   uint64 `json:"forwarded"`
	Dropped     uint64 `json:"dropped"` // by the kernel, before the worker
	CPU         int64  `json:"cpu"`
	Allocations uint64 `json:"allocations"`
	Mode        string `json:"mode"`
	Batches     uint64 `json:"batches"`
	// Late is how long a batch took the handler that 0.1 % took longer than, as the bound of a bucket.
	Late        int64  `json:"late"`
	Collections uint32 `json:"collections"` // of garbage
	Pause       uint64 `json:"pause"`       // of these the longest: how long nothing of Go ran
	// Sites is how often something was allocated, by who did, with "heap" alone.
	Sites map[string]int64 `json:"sites,omitempty"`
}

func main() {
	if os.Getenv(watchVariable) == "heap" {
		runtime.MemProfileRate = 1 // every allocation
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "receiver:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 6 && len(arguments) != 11 {
		return errors.New("6 or 11 arguments are expected: see the source")
	}
	var numbers [4]int // CPU, batch, spin, map
	for i := range numbers {
		number, err := strconv.Atoi(arguments[1+i])
		if err != nil {
			return err
		}
		numbers[i] = number
	}
	sockets, err := ebpf.NewMapFromFD(numbers[3])
	if err != nil {
		return err
	}
	config := worker.Config{
		Sockets: sockets, Handler: handlers.Sink{}, CPU: numbers[0], Batch: numbers[1], Spin: numbers[2] != 0,
		Log: slog.New(slog.DiscardHandler),
	}
	// As the C receiver: rings of 2048, and frames for two NICs.
	of := xsk.Config{Interface: arguments[5]}
	frames := 2 * of.Frames()
	area, err := umem.New(umem.Config{Frames: frames, FrameSize: 4096, Node: umem.AnyNode})
	if err != nil {
		return err
	}
	pool, err := area.Pool(frames)
	if err != nil {
		return err
	}
	group := xsk.NewGroup(area, config.Log)
	if config.Socket, err = group.Open(of, pool); err != nil {
		return err
	}
	if len(arguments) == 11 {
		of.Interface = arguments[6]
		if config.Peer, err = group.Open(of, pool); err != nil {
			return err
		}
	}
	if arguments[0] == "forward" {
		if config.Handler, err = forward(arguments[7:]); err != nil {
			return err
		}
	}
	w, err := worker.Start(config)
	if err != nil {
		return err
	}
	return serve(w)
}

// forward takes MAC and next hop of both sides.
func forward(stations []string) (worker.Handler, error) {
	var macs [4][6]byte
	for i, text := range stations {
		mac, err := net.ParseMAC(text)
		if err != nil {
			return nil, err
		}
		copy(macs[i][:], mac)
	}
	return handlers.NewForward(handlers.ForwardConfig{Ports: [2]handlers.ForwardPort{
		{MAC: macs[0], NextHop: macs[1], MTU: 1500}, {MAC: macs[2], NextHop: macs[3], MTU: 1500},
	}})
}

// serve waits for the input's end, and says what there was until then.
func serve(w *worker.Worker) error {
	watch := os.Getenv(watchVariable)
	if watch == "collect" {
		go collect()
	}
	fmt.Println("ready")
	sites := allocations(watch)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := cpuTime()
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	spent := cpuTime() - began
	runtime.ReadMemStats(&after)
	r := result{
		CPU: spent, Allocations: after.Mallocs - before.Mallocs, Mode: w.Socket().Mode().String(),
		Collections: after.NumGC - before.NumGC, Pause: longest(&after, before.NumGC), Sites: sites(),
	}
	r.Batches, r.Late = late(w.Latencies())
	if err := w.Stop(); err != nil {
		return err
	}
	for _, counts := range w.Counts() {
		r.Packets += counts.Packets
		r.Forwarded += counts.Forwarded
	}
	for _, read := range []func() (xsk.Statistics, error){w.Statistics, w.PeerStatistics} {
		statistics, err := read()
		if err != nil {
			return err
		}
		r.Dropped += statistics.Dropped + statistics.RingFull
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

func cpuTime() int64 {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return used.Utime.Nano() + used.Stime.Nano()
}
