package agent

import (
	"context"
	"encoding/json"
	"time"
)

// Sample is a packet that was dropped, or would have been, with what became of it in the agent's words.
type Sample struct {
	Time      time.Time `json:"time"`
	Interface string    `json:"interface"`
	Queue     uint32    `json:"queue"`
	Verdict   string    `json:"verdict"`
	Reason    string    `json:"reason"`
	// Part decided it, such as "rule:no-snmp"; nil where none did.
	Part *string `json:"part"`
	// Would, and why, is of the first observed part; nil where none was met.
	Would       *string `json:"would"`
	WouldReason *string `json:"would_reason"`
	WouldPart   *string `json:"would_part"`
	// Length is of the frame, in bytes, and Frame its first bytes, in hex.
	Length uint32 `json:"length"`
	Frame  string `json:"frame"`
	// What the packet says; nil where it does not.
	Source          *string `json:"source"`
	Destination     *string `json:"destination"`
	Protocol        *uint32 `json:"protocol"`
	SourcePort      *uint32 `json:"source_port"`
	DestinationPort *uint32 `json:"destination_port"`
	VLAN            *uint32 `json:"vlan"`
}

// Filter says which samples; nil is for any.
type Filter struct {
	Limit     uint32  `json:"limit"`
	Interface *string `json:"interface"`
	Reason    *string `json:"reason"`
	Part      *string `json:"part"`
}

// Samples returns the newest samples that the kernel still has, the newest first.
func (c *Client) Samples(ctx context.Context, filter Filter) ([]Sample, error) {
	found, err := call[struct {
		Samples []Sample `json:"samples"`
	}](ctx, c, struct {
		question
		Filter
	}{ask("samples"), filter})
	return found.Samples, err
}

// Topology is what the host is made of.
type Topology struct {
	// Name is what the host calls itself.
	Name string `json:"name"`
	// Topology is as the module host_topology_info returns it, but for irqbalance.
	Topology json.RawMessage `json:"topology"`
}

// Topology returns what the host is made of.
func (c *Client) Topology(ctx context.Context) (Topology, error) {
	return call[Topology](ctx, c, ask("topology"))
}
