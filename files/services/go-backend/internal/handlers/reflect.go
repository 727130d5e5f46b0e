package handlers

import "tripod/go-backend/internal/worker"

// Reflect sends every packet back to the station that it came from, as it is: a generator sees with it what is lost. It is
// also the example of docs/handlers.md.
type Reflect struct{}

// The reasons, in the order of Reasons.
const (
	reflectShort = iota
	reflectGroup
)

// Name is the handler's in the inventory and in metrics.
func (Reflect) Name() string { return "reflect" }

// Reasons are why a packet is dropped.
func (Reflect) Reasons() []string { return []string{"short", "group_source"} }

// Handle exchanges the Ethernet addresses.
func (Reflect) Handle(packets []worker.Packet) {
	for i := range packets {
		packet := &packets[i]
		if len(packet.Data) < 14 {
			packet.Verdict = worker.Drop(reflectShort)
			continue
		}
		to, from := (*[6]byte)(packet.Data), (*[6]byte)(packet.Data[6:])
		if from[0]&1 != 0 {
			// To answer a group would flood it.
			packet.Verdict = worker.Drop(reflectGroup)
			continue
		}
		*to, *from = *from, *to
		packet.Verdict = worker.Send
	}
}
