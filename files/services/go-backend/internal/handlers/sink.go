// Package handlers is what go-backend's workers can do with packets.
package handlers

import "tripod/go-backend/internal/worker"

// Sink consumes every packet: what it costs to receive one is measured with it, and what came is counted.
type Sink struct{}

// Name is the handler's in the inventory and in metrics.
func (Sink) Name() string { return "sink" }

// Reasons are none, as nothing is dropped.
func (Sink) Reasons() []string { return nil }

// Handle leaves every packet consumed, which it is until somebody says otherwise.
func (Sink) Handle([]worker.Packet) {}
