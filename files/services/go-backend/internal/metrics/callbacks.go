package metrics

import "github.com/prometheus/client_golang/prometheus"

var (
	callbackState = prometheus.NewDesc("tripod_callback_circuit_state",
		"1 for the state that the circuit breaker to an API is in, 0 for the others; where it is open nobody calls.", []string{"api", "state"}, nil)
	callbackTold = prometheus.NewDesc("tripod_callback_started_total",
		"How often an API was told that this service is there, and looked at this host.", []string{"api"}, nil)
	callbackFailed = prometheus.NewDesc("tripod_callback_failures_total",
		"Calls of an API that were refused or not answered; the log says why.", []string{"api"}, nil)
	callbackPackets = prometheus.NewDesc("tripod_callback_samples_total",
		"Samples of drops that an API was told of.", []string{"api"}, nil)
	callbackLost = prometheus.NewDesc("tripod_callback_samples_lost_total",
		"Samples of drops that an API will not be told of: more than are handed on, or not taken.", []string{"api"}, nil)
)

// Calling is what calls an API.
type Calling interface {
	Target() string
	State() string
	Counts() (told, failed uint64)
	Packets() (told, lost uint64)
}

// Callbacks collects what there is to tell of calls.
type Callbacks struct {
	states []string
	all    []Calling
}

// NewCallbacks returns a collector of what calls, by the states that their circuit breakers may be in.
func NewCallbacks(states []string, all ...Calling) Callbacks { return Callbacks{states, all} }

// Describe implements prometheus.Collector.
func (c Callbacks) Describe(descriptions chan<- *prometheus.Desc) {
	for _, one := range []*prometheus.Desc{callbackState, callbackTold, callbackFailed, callbackPackets, callbackLost} {
		descriptions <- one
	}
}

// Collect implements prometheus.Collector.
func (c Callbacks) Collect(metrics chan<- prometheus.Metric) {
	for _, one := range c.all {
		now := one.State()
		for _, state := range c.states {
			metrics <- prometheus.MustNewConstMetric(callbackState, prometheus.GaugeValue, number(state == now), one.Target(), state)
		}
		told, failed := one.Counts()
		metrics <- prometheus.MustNewConstMetric(callbackTold, prometheus.CounterValue, float64(told), one.Target())
		metrics <- prometheus.MustNewConstMetric(callbackFailed, prometheus.CounterValue, float64(failed), one.Target())
		packets, lost := one.Packets()
		metrics <- prometheus.MustNewConstMetric(callbackPackets, prometheus.CounterValue, float64(packets), one.Target())
		metrics <- prometheus.MustNewConstMetric(callbackLost, prometheus.CounterValue, float64(lost), one.Target())
	}
}
