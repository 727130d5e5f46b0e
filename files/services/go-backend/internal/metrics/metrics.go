// Package metrics exposes the data plane to Prometheus. The maps are read when they are scraped.
package metrics

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tripod/go-backend/internal/agent"
	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/object"
	"tripod/go-backend/internal/parts"
	"tripod/go-backend/internal/rescue"
	"tripod/go-backend/internal/workers"
)

// scrapeTimeout bounds the wait for programs that are being replaced.
const scrapeTimeout = time.Second

// partLabels name one list, rule, limit or service.
var partLabels = []string{"interface", "part", "id"}

var (
	packets = prometheus.NewDesc("tripod_xdp_packets_total",
		"Packets by what the XDP program did with them and why.", []string{"interface", "verdict", "reason"}, nil)
	bytes = prometheus.NewDesc("tripod_xdp_bytes_total",
		"Bytes of these packets, Ethernet header included.", []string{"interface", "verdict", "reason"}, nil)
	partPackets = prometheus.NewDesc("tripod_policy_packets_total",
		"Packets that a list, rule or service matched, or that exceeded a limit.", partLabels, nil)
	partBytes = prometheus.NewDesc("tripod_policy_bytes_total",
		"Bytes of these packets, Ethernet header included.", partLabels, nil)
	partObserved = prometheus.NewDesc("tripod_policy_observed_packets_total",
		"Packets that a part in observe mode would have met.", partLabels, nil)
	partObservedBytes = prometheus.NewDesc("tripod_policy_observed_bytes_total",
		"Bytes of these packets, Ethernet header included.", partLabels, nil)
	partLast = prometheus.NewDesc("tripod_policy_last_hit_timestamp_seconds",
		"When a part last met a packet, in observe mode or not; absent where it never did.", partLabels, nil)
	program = prometheus.NewDesc("tripod_xdp_program_info",
		"The attached XDP program; always 1.", []string{"interface", "id", "name", "tag", "mode"}, nil)
	attached = prometheus.NewDesc("tripod_xdp_attached",
		"1 where the interface is known to run the pinned program, else 0.", []string{"interface"}, nil)
	state = prometheus.NewDesc("tripod_xdp_interface_state",
		"1 for the state that an interface with pins is in, 0 for the others.", []string{"interface", "state"}, nil)
	failures = prometheus.NewDesc("tripod_xdp_read_errors",
		"What could not be read in this scrape: the pin root, the object file, interfaces; the log says why.", nil, nil)
	unexpected = prometheus.NewDesc("tripod_xdp_unexpected_entries",
		"Entries of the pin root that belong to no interface; the log names them.", nil, nil)
	usable = prometheus.NewDesc("tripod_xdp_object_usable",
		"1 where the object file can be used; where 0, names are the last known ones or numbers.", nil, nil)
	ready = prometheus.NewDesc("tripod_ready",
		"1 where readiness and health are given, else 0.", nil, nil)
	panics = prometheus.NewDesc("tripod_panics_total",
		"Panics that were caught; each is a defect, and the log has its stack.", nil, nil)

	all = []*prometheus.Desc{packets, bytes, partPackets, partBytes, partObserved, partObservedBytes, partLast, program, attached, state, failures, unexpected, usable, ready, panics}
)

// Collector reads programs and counters under one pin root.
type Collector struct {
	root    dataplane.Root
	file    *object.File
	names   *agent.Names
	manager *workers.Manager
	log     *slog.Logger

	mu sync.Mutex
	// seen are the interfaces of the last pin root that could be listed.
	seen []string
}

// NewCollector returns a collector that names what it finds under root after the object file and the agent. The manager's
// workers are part of whether the service is ready.
func NewCollector(
	root dataplane.Root, file *object.File, names *agent.Names, manager *workers.Manager, log *slog.Logger,
) *Collector {
	return &Collector{root: root, file: file, names: names, manager: manager, log: log}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range all {
		descriptions <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(metrics chan<- prometheus.Metric) {
	scrape := scrape{metrics: metrics, log: c.log}
	// The registry collects in goroutines of its own, where nobody else would catch a panic.
	if err := rescue.Do("scrape", func() error {
		c.collect(&scrape)
		return nil
	}); err != nil {
		scrape.failed++
	}
	scrape.gauge(failures, float64(scrape.failed))
	scrape.emit(panics, prometheus.CounterValue, float64(rescue.Caught()))
}

func (c *Collector) collect(scrape *scrape) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	survey := dataplane.TakeWithHits(ctx, c.root, c.file)
	clock, err := dataplane.NewClock()
	if err != nil {
		scrape.failed++
		c.log.Error("scrape", "error", err)
		return
	}
	c.complete(&survey)
	scrape.gauge(ready, number(survey.Err() == nil && c.manager.Err() == nil))
	scrape.gauge(usable, number(survey.ObjectUsable))
	scrape.gauge(unexpected, float64(len(survey.Unexpected)))
	for _, problem := range survey.Problems {
		switch problem.State {
		case dataplane.Unreadable, dataplane.Damaged, dataplane.ObjectUnusable:
			scrape.failed++
			c.log.Error("scrape", "interface", problem.Interface, "error", problem.Text)
		}
	}
	for _, report := range survey.Interfaces {
		scrape.report(report, survey.Names)
		if len(report.Hits) > 0 || report.Runs() {
			scrape.parts(report.Name, parts.Of(report.Hits, c.names.Of(ctx, report.Name)), clock)
		}
	}
}

// complete puts the interfaces that were seen last in the place of those that cannot be listed now.
func (c *Collector) complete(survey *dataplane.Survey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !survey.Listed {
		for _, name := range c.seen {
			survey.Interfaces = append(survey.Interfaces, dataplane.Report{Name: name, State: dataplane.Unreadable})
		}
		return
	}
	c.seen = c.seen[:0]
	for _, report := range survey.Interfaces {
		c.seen = append(c.seen, report.Name)
	}
}

// Handler answers scrapes with all that could be gathered, even where a part could not.
func Handler(registry *prometheus.Registry, log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError,
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelError),
		Registry:      registry,
	})
}

// scrape is one answer to the registry.
type scrape struct {
	metrics chan<- prometheus.Metric
	log     *slog.Logger
	failed  int
}

func (s *scrape) report(report dataplane.Report, names object.Names) {
	s.gauge(attached, number(report.Runs()), report.Name)
	for _, one := range dataplane.States() {
		s.gauge(state, number(one == report.State), report.Name, string(one))
	}
	if p := report.Program; report.Runs() {
		s.gauge(program, 1, report.Name, strconv.FormatUint(uint64(p.ID), 10), p.Name, p.Tag, p.Mode)
	}
	// Counters of a program that does not run stand still, and are there: one that vanished would look like a restart.
	for _, count := range report.Counts {
		verdict, reason := names.Verdicts.Name(count.Verdict), names.Reasons.Name(count.Reason)
		s.emit(packets, prometheus.CounterValue, float64(count.Packets), report.Name, verdict, reason)
		s.emit(bytes, prometheus.CounterValue, float64(count.Bytes), report.Name, verdict, reason)
	}
}

func (s *scrape) parts(ifname string, found []parts.Part, clock dataplane.Clock) {
	for _, one := range found {
		for description, value := range map[*prometheus.Desc]uint64{
			partPackets: one.Packets, partBytes: one.Bytes,
			partObserved: one.ObservedPackets, partObservedBytes: one.ObservedBytes,
		} {
			s.emit(description, prometheus.CounterValue, float64(value), ifname, one.Part, one.ID)
		}
		if one.Last > 0 {
			s.gauge(partLast, float64(clock.Time(one.Last).Unix()), ifname, one.Part, one.ID)
		}
	}
}

func (s *scrape) gauge(description *prometheus.Desc, value float64, labels ...string) {
	s.emit(description, prometheus.GaugeValue, value, labels...)
}

// emit passes a metric on whose labels may hold anything.
func (s *scrape) emit(description *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
	for i, label := range labels {
		labels[i] = strings.ToValidUTF8(label, "\uFFFD")
	}
	metric, err := prometheus.NewConstMetric(description, kind, value, labels...)
	if err != nil {
		s.failed++
		s.log.Error("scrape", "metric", description.String(), "error", err)
		return
	}
	s.metrics <- metric
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
