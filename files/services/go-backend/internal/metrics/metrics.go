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

	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/object"
	"tripod/go-backend/internal/rescue"
)

// scrapeTimeout bounds the wait for programs that are being replaced.
const scrapeTimeout = time.Second

var (
	packets = prometheus.NewDesc("tripod_xdp_packets_total",
		"Packets by what the XDP program did with them and why.", []string{"interface", "verdict", "reason"}, nil)
	bytes = prometheus.NewDesc("tripod_xdp_bytes_total",
		"Bytes of these packets, Ethernet header included.", []string{"interface", "verdict", "reason"}, nil)
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

	all = []*prometheus.Desc{packets, bytes, program, attached, state, failures, unexpected, usable, ready, panics}
)

// Collector reads programs and counters under one pin root.
type Collector struct {
	root dataplane.Root
	file *object.File
	log  *slog.Logger

	mu sync.Mutex
	// seen are the interfaces of the last pin root that could be listed.
	seen []string
}

// NewCollector returns a collector that names what it finds under root after the object file.
func NewCollector(root dataplane.Root, file *object.File, log *slog.Logger) *Collector {
	return &Collector{root: root, file: file, log: log}
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
	survey := dataplane.Take(ctx, c.root, c.file)
	c.complete(&survey)
	scrape.gauge(ready, number(survey.Err() == nil))
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
