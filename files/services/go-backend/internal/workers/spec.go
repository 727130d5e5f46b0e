package workers

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"tripod/go-backend/internal/umem"
	"tripod/go-backend/internal/worker"
	"tripod/go-backend/internal/xsk"
)

// Spec is a worker as the file of workers has it. The module afxdp_workers documents each member.
type Spec struct {
	Name    string          `json:"name"`
	NIC     string          `json:"nic"`
	Queues  []int           `json:"queues"`
	Handler string          `json:"handler"`
	Options json.RawMessage `json:"options"`

	CPUs              []int  `json:"cpus"`
	Mode              string `json:"mode"`
	Generic           bool   `json:"generic"`
	MultiBuffer       bool   `json:"multi_buffer"`
	RxRing            uint32 `json:"rx_ring"`
	TxRing            uint32 `json:"tx_ring"`
	FillRing          uint32 `json:"fill_ring"`
	FrameSize         int    `json:"frame_size"`
	FrameCount        int    `json:"frame_count"`
	Headroom          int    `json:"headroom"`
	Hugepages         string `json:"hugepages"`
	HugepagesFallback bool   `json:"hugepages_fallback"`
	Node              *int   `json:"node"`
	Batch             int    `json:"batch"`
	Spin              bool   `json:"spin"`
	BusyPollUs        uint32 `json:"busy_poll_us"`
	BusyPollBudget    int    `json:"busy_poll_budget"`
	WatchdogMs        int    `json:"watchdog_ms"`

	kind kind
}

var (
	modes     = map[string]xsk.Mode{"": xsk.Auto, "auto": xsk.Auto, "zero-copy": xsk.ZeroCopy, "copy": xsk.Copy}
	hugepages = map[string]umem.PageSize{"": 0, "2M": umem.Huge2M, "1G": umem.Huge1G}
	nameForm  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,62}$`)
)

// Limits of a watchdog, in ms: a worker that has nothing to do takes a turn every 20 ms.
const (
	minWatchdog     = 50
	defaultWatchdog = 100
	maxWatchdog     = 60_000
)

// maxFile is longer than any file of workers, in bytes.
const maxFile = 1 << 20

// Read returns the workers that a file has, sorted by name, or everything that is wrong with it, and the SHA-256 of what was
// read in hex.
func Read(path string) (specs []Spec, digest string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, "", fmt.Errorf("file of workers: %w", err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err != nil {
		return nil, "", fmt.Errorf("file of workers: %w", err)
	}
	digest = fmt.Sprintf("%x", sha256.Sum256(content))
	specs, err = parse(content)
	if err != nil {
		return nil, digest, fmt.Errorf("file of workers %s: %w", path, err)
	}
	return specs, digest, nil
}

func parse(content []byte) ([]Spec, error) {
	var file struct {
		Workers []json.RawMessage `json:"workers"`
	}
	if err := decode(content, &file); err != nil {
		return nil, err
	}
	var faults []error
	specs := make([]Spec, len(file.Workers))
	for i, text := range file.Workers {
		spec := &specs[i]
		err := decode(text, spec)
		if err == nil {
			err = spec.complete()
		}
		for _, one := range each(err) {
			faults = append(faults, fmt.Errorf("worker %d, %q: %w", i+1, spec.Name, one))
		}
	}
	faults = append(faults, overlaps(specs)...)
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	slices.SortFunc(specs, func(a, b Spec) int { return strings.Compare(a.Name, b.Name) })
	return specs, nil
}

// decode reads one JSON value, and refuses what it does not know.
func decode(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the end of the JSON value")
	}
	return nil
}

// each returns the errors that were joined.
func each(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, one := range joined.Unwrap() {
			all = append(all, each(one)...)
		}
		return all
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// complete fills in what was left out, and returns everything that is wrong whatever the host is.
func (s *Spec) complete() error {
	var faults []error
	fault := func(format string, arguments ...any) { faults = append(faults, fmt.Errorf(format, arguments...)) }
	if !nameForm.MatchString(s.Name) {
		fault("its name must begin with a letter, and have up to 63 letters, digits, and signs of _.-")
	}
	if s.NIC == "" {
		fault("nic is missing")
	}
	if len(s.Queues) == 0 {
		fault("queues is empty: name one at least")
	}
	for i, queue := range s.Queues {
		if queue < 0 || slices.Contains(s.Queues[:i], queue) {
			fault("queue %d: each is given once, from 0 on", queue)
		}
	}
	if len(s.CPUs) != 0 && len(s.CPUs) != len(s.Queues) {
		fault("%d CPUs for %d queues: give one for each, or none", len(s.CPUs), len(s.Queues))
	}
	if _, known := modes[s.Mode]; !known {
		fault("mode %q: auto, zero-copy or copy are possible", s.Mode)
	}
	if _, known := hugepages[s.Hugepages]; !known {
		fault("hugepages %q: 2M, 1G or none are possible", s.Hugepages)
	}
	setUnlessZero(&s.FrameSize, umem.MaxFrameSize)
	setUnlessZero(&s.Batch, worker.DefaultBatch)
	setUnlessZero(&s.WatchdogMs, defaultWatchdog)
	if s.WatchdogMs < minWatchdog || s.WatchdogMs > maxWatchdog {
		fault("watchdog_ms %d: %d to %d are possible", s.WatchdogMs, minWatchdog, maxWatchdog)
	}
	faults = append(faults, worker.CheckBatch(s.Batch), s.socket(0).Check())
	var err error
	if s.kind, err = newKind(s.Handler, s.Options); err != nil {
		faults = append(faults, err)
		return errors.Join(faults...)
	}
	if s.kind.peer == s.NIC {
		fault("its handler %s forwards to %s, where the packets come from", s.Handler, s.NIC)
	}
	setUnlessZero(&s.FrameCount, s.framesNeeded())
	if s.FrameCount < s.framesNeeded() {
		fault("frame_count %d: its rings hold up to %d frames for each queue", s.FrameCount, s.framesNeeded())
	}
	node := umem.AnyNode
	if s.Node != nil {
		node = *s.Node
	}
	faults = append(faults, s.memory(node).Check())
	return errors.Join(faults...)
}

func setUnlessZero(value *int, fallback int) {
	if *value == 0 {
		*value = fallback
	}
}

// socket is the config of one of its queues.
func (s *Spec) socket(queue int) xsk.Config {
	return xsk.Config{
		Interface: s.NIC, Queue: queue, Rx: s.RxRing, Tx: s.TxRing, Fill: s.FillRing, Mode: modes[s.Mode],
		Generic: s.Generic, MultiBuffer: s.MultiBuffer,
		BusyPoll: xsk.BusyPoll{Time: time.Duration(s.BusyPollUs) * time.Microsecond, Budget: s.BusyPollBudget},
	}
}

// nics are those that it serves queues of.
func (s *Spec) nics() []string {
	if s.kind.peer != "" {
		return []string{s.NIC, s.kind.peer}
	}
	return []string{s.NIC}
}

func (s *Spec) framesNeeded() int { return len(s.nics()) * s.socket(0).Frames() }

// memory is of all its queues.
func (s *Spec) memory(node int) umem.Config {
	return umem.Config{
		Frames: s.FrameCount * max(len(s.Queues), 1), FrameSize: s.FrameSize, Headroom: s.Headroom,
		Pages: hugepages[s.Hugepages], Node: node, Fallback: s.HugepagesFallback,
	}
}

// equal tells whether two are the same worker in every respect.
func (s Spec) equal(other Spec) bool {
	s.kind, other.kind = kind{}, kind{}
	return reflect.DeepEqual(s, other)
}

// sameSockets tells whether a running worker becomes another without its sockets being closed.
func (s Spec) sameSockets(other Spec) bool {
	if s.kind.peer != other.kind.peer {
		return false
	}
	for _, one := range []*Spec{&s, &other} {
		one.Handler, one.Options, one.CPUs, one.WatchdogMs = "", nil, nil, 0
	}
	return s.equal(other)
}

// sameService tells whether two have the same handler.
func (s Spec) sameService(other Spec) bool {
	return s.Handler == other.Handler && bytes.Equal(s.Options, other.Options)
}

// overlaps returns names and queues that more than one worker has.
func overlaps(specs []Spec) []error {
	type queue struct {
		nic   string
		queue int
	}
	var faults []error
	names, queues := make(map[string]bool), make(map[queue]string)
	for i := range specs {
		spec := &specs[i]
		if names[spec.Name] {
			faults = append(faults, fmt.Errorf("worker %d, %q: there is another of this name", i+1, spec.Name))
		}
		names[spec.Name] = true
		for _, nic := range spec.nics() {
			for _, number := range spec.Queues {
				one := queue{nic, number}
				if other, taken := queues[one]; taken && other != spec.Name {
					faults = append(faults, fmt.Errorf("worker %d, %q: queue %d of %s is worker %q's already",
						i+1, spec.Name, number, nic, other))
				}
				queues[one] = spec.Name
			}
		}
	}
	return faults
}
