package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	certificateEnds = prometheus.NewDesc("tripod_certificate_not_after_timestamp_seconds",
		"When the certificate of this service ends (own), and the first one of those it trusts (authority).", []string{"certificate"}, nil)
	connectionsRefused = prometheus.NewDesc("tripod_grpc_connections_refused_total",
		"Connections without a certificate that is taken; the log says why.", nil, nil)
)

// Presented is what listens with a certificate, and takes those of others.
type Presented interface {
	Ends() (own, authority time.Time)
	Refused() uint64
}

// Certificates collects what there is to tell of certificates.
type Certificates struct{ presented Presented }

// NewCertificates returns a collector of what listens with certificates.
func NewCertificates(presented Presented) Certificates { return Certificates{presented} }

// Describe implements prometheus.Collector.
func (c Certificates) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- certificateEnds
	descriptions <- connectionsRefused
}

// Collect implements prometheus.Collector.
func (c Certificates) Collect(metrics chan<- prometheus.Metric) {
	own, authority := c.presented.Ends()
	for name, ends := range map[string]time.Time{"own": own, "authority": authority} {
		metrics <- prometheus.MustNewConstMetric(certificateEnds, prometheus.GaugeValue, float64(ends.Unix()), name)
	}
	metrics <- prometheus.MustNewConstMetric(connectionsRefused, prometheus.CounterValue, float64(c.presented.Refused()))
}
