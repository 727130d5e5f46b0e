package metrics

import (
	"log/slog"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"tripod/go-backend/internal/rescue"
	"tripod/go-backend/internal/worker"
	"tripod/go-backend/internal/workers"
)

// queueLabels name one queue of one worker.
var queueLabels = []string{"worker", "interface", "queue"}

func queueDesc(name, help string, more ...string) *prometheus.Desc {
	return prometheus.NewDesc("tripod_worker_"+name, help, append(append([]string(nil), queueLabels...), more...), nil)
}

var (
	workerState = prometheus.NewDesc("tripod_worker_state",
		"1 for the state that a worker is in, else 0.", []string{"worker", "state"}, nil)
	workerPackets = queueDesc("packets_total",
		"Packets by what the handler did with them: consumed, sent, forwarded or dropped, and why.", "handler", "verdict", "reason")
	workerBytes      = queueDesc("bytes_total", "Bytes of received packets, Ethernet header included.", "handler")
	workerKernel     = queueDesc("kernel_drops_total", "Packets that the kernel could not give to the socket (XDP_STATISTICS).", "reason")
	workerFillEmpty  = queueDesc("fill_ring_empty_total", "How often the kernel found no frame to receive into.")
	workerInvalid    = queueDesc("invalid_entries_total", "Entries of a ring that the kernel refused; each is a defect.", "ring")
	workerRetries    = queueDesc("retries_total", "Calls that found the kernel at its limit, and came again.")
	workerBusy       = queueDesc("busy_seconds_total", "Time that the worker's thread has worked instead of slept.")
	workerLatency    = queueDesc("handler_seconds", "Time that the handler took for a batch.")
	workerLevels     = queueDesc("ring_entries", "Entries that wait in a ring for whom they are for.", "ring")
	workerFrames     = queueDesc("frames", "Frames of the queue's pool.")
	workerFreeFrames = queueDesc("free_frames", "Of these, those that nobody holds.")
	workerLostFrames = queueDesc("lost_frames", "Of these, those that nobody has; a defect where it is not 0.")
	workerInfo       = queueDesc("info", "A queue that is served; always 1.", "mode", "cpu")
	workerStalled    = queueDesc("stalled", "1 where the handler does not return, and packets go to the network stack.")

	allOfWorkers = []*prometheus.Desc{
		workerState, workerPackets, workerBytes, workerKernel, workerFillEmpty, workerInvalid, workerRetries, workerBusy,
		workerLatency, workerLevels, workerFrames, workerFreeFrames, workerLostFrames, workerInfo, workerStalled,
	}
)

// Workers collects what AF_XDP workers do.
type Workers struct {
	manager *workers.Manager
	log     *slog.Logger
}

// NewWorkers returns a collector of a manager's workers.
func NewWorkers(manager *workers.Manager, log *slog.Logger) *Workers {
	return &Workers{manager: manager, log: log}
}

// Describe implements prometheus.Collector.
func (w *Workers) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range allOfWorkers {
		descriptions <- d
	}
}

// Collect implements prometheus.Collector.
func (w *Workers) Collect(metrics chan<- prometheus.Metric) {
	scrape := scrape{metrics: metrics, log: w.log}
	_ = rescue.Do("scrape of workers", func() error {
		for _, one := range w.manager.List() {
			for _, state := range workers.States() {
				scrape.gauge(workerState, number(one.State == state), one.Name, string(state))
			}
		}
		found, err := w.manager.Stats("")
		for _, one := range found {
			scrape.queue(one)
		}
		return err
	})
}

func (s *scrape) queue(one workers.QueueStats) {
	of := func(more ...string) []string {
		return append([]string{one.Worker, one.NIC, strconv.Itoa(one.Queue)}, more...)
	}
	count := func(description *prometheus.Desc, n uint64, more ...string) {
		s.emit(description, prometheus.CounterValue, float64(n), of(more...)...)
	}
	for _, c := range one.Handlers {
		count(workerBytes, c.Bytes, c.Handler)
		count(workerPackets, c.Consumed, c.Handler, "consumed", "")
		count(workerPackets, c.Sent, c.Handler, "sent", "")
		count(workerPackets, c.Forwarded, c.Handler, "forwarded", "")
		for reason, n := range c.Dropped {
			count(workerPackets, n, c.Handler, "dropped", reason)
		}
	}
	count(workerKernel, one.Kernel.Dropped, "no_frame_or_too_long")
	count(workerKernel, one.Kernel.RingFull, "rx_ring_full")
	count(workerFillEmpty, one.Kernel.FillEmpty)
	count(workerInvalid, one.Kernel.InvalidFill, "fill")
	count(workerInvalid, one.Kernel.InvalidTx, "tx")
	count(workerRetries, one.Retries)
	if len(one.Handlers) > 0 {
		s.emit(workerBusy, prometheus.CounterValue, one.Busy.Seconds(), of()...)
		s.latencies(one.Latencies, of())
	}
	live := one.Live
	if live == nil {
		return
	}
	for ring, level := range map[string]int{
		"fill": live.Levels.Fill, "rx": live.Levels.Rx, "tx": live.Levels.Tx, "completion": live.Levels.Completion,
	} {
		s.gauge(workerLevels, float64(level), of(ring)...)
	}
	s.gauge(workerInfo, 1, of(live.Mode.String(), strconv.Itoa(live.CPU))...)
	s.gauge(workerStalled, number(live.Stalled), of()...)
	if live.Frames > 0 {
		s.gauge(workerFrames, float64(live.Frames), of()...)
		s.gauge(workerFreeFrames, float64(live.Free), of()...)
		s.gauge(workerLostFrames, float64(live.Lost), of()...)
	}
}

// latencies emits a histogram.
func (s *scrape) latencies(l worker.Latencies, labels []string) {
	upTo, batches := make(map[float64]uint64), uint64(0)
	for i, n := range l.Batches {
		batches += n
		if bound := l.Bound(i); bound > 0 {
			upTo[bound.Seconds()] = batches
		}
	}
	metric, err := prometheus.NewConstHistogram(workerLatency, batches, l.Total.Seconds(), upTo, labels...)
	if err != nil {
		s.failed++
		s.log.Error("scrape", "metric", workerLatency.String(), "error", err)
		return
	}
	s.metrics <- metric
}
