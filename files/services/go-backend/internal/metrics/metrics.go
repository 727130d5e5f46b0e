// Package metrics exposes the data plane to Prometheus. The maps are read when they are scraped.
package metrics

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/object"
)

// scrapeTimeout bounds the wait for a program that is being replaced.
const scrapeTimeout = time.Second

var (
	packets = prometheus.NewDesc("tripod_xdp_packets_total",
		"Packets by what the XDP program did with them and why.", []string{"interface", "verdict", "reason"}, nil)
	bytes = prometheus.NewDesc("tripod_xdp_bytes_total",
		"Bytes of these packets, Ethernet header included.", []string{"interface", "verdict", "reason"}, nil)
	program = prometheus.NewDesc("tripod_xdp_program_info",
		"The attached XDP program; always 1.", []string{"interface", "id", "name", "tag", "mode"}, nil)
	attached = prometheus.NewDesc("tripod_xdp_attached",
		"1 where the interface runs the pinned program, 0 where it runs another or none.", []string{"interface"}, nil)
	failures = prometheus.NewDesc("tripod_xdp_read_errors",
		"Interfaces whose pins could not be read in this scrape; the log says why.", nil, nil)
)

// Collector reads programs and counters under one pin root.
type Collector struct {
	root dataplane.Root
	file *object.File
	log  *slog.Logger
}

// NewCollector returns a collector that names what it finds under root after the object file.
func NewCollector(root dataplane.Root, file *object.File, log *slog.Logger) *Collector {
	return &Collector{root: root, file: file, log: log}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{packets, bytes, program, attached, failures} {
		descriptions <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	failed := 0
	names, err := c.root.Interfaces()
	if err != nil {
		failed++
		c.log.Error("scrape", "error", err)
	}
	for _, name := range names {
		err := c.collect(ctx, name, metrics)
		if errors.Is(err, dataplane.ErrNotAttached) {
			metrics <- prometheus.MustNewConstMetric(attached, prometheus.GaugeValue, 0, name)
		} else if err != nil {
			failed++
			c.log.Error("scrape", "interface", name, "error", err)
		}
	}
	metrics <- prometheus.MustNewConstMetric(failures, prometheus.GaugeValue, float64(failed))
}

func (c *Collector) collect(ctx context.Context, name string, metrics chan<- prometheus.Metric) error {
	found, err := c.root.Interface(ctx, name)
	if err != nil {
		return err
	}
	counts, err := found.Counters()
	if err != nil {
		return err
	}
	names, err := c.file.Object()
	if err != nil {
		return err
	}
	p := found.Program
	metrics <- prometheus.MustNewConstMetric(attached, prometheus.GaugeValue, 1, name)
	metrics <- prometheus.MustNewConstMetric(program, prometheus.GaugeValue, 1,
		name, strconv.FormatUint(uint64(p.ID), 10), p.Name, p.Tag, p.Mode)
	for _, count := range counts {
		verdict, reason := names.Verdicts.Name(count.Verdict), names.Reasons.Name(count.Reason)
		metrics <- prometheus.MustNewConstMetric(packets, prometheus.CounterValue, float64(count.Packets), name, verdict, reason)
		metrics <- prometheus.MustNewConstMetric(bytes, prometheus.CounterValue, float64(count.Bytes), name, verdict, reason)
	}
	return nil
}
