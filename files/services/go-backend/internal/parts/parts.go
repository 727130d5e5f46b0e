// Package parts gives what the kernel counts by slot the names of the policy's parts.
package parts

import (
	"cmp"
	"slices"
	"strconv"

	"tripod/go-backend/internal/agent"
	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/object"
)

// Unknown is the part of a slot that the agent has not named.
const Unknown = "unknown"

// Part is a list, rule, limit or service, and what it has met.
type Part struct {
	// Part and ID are as of an agent.Slot; of a slot without a name, Unknown and its number.
	Part, ID string
	object.Hit
}

// Of returns all parts that have a name, those that met nothing too, and what was met by others, by slot.
func Of(hits []dataplane.Hit, names map[uint32]agent.Slot) []Part {
	met := make(map[uint32]object.Hit, len(hits))
	slots := make([]agent.Slot, 0, len(names))
	for _, slot := range names {
		slots = append(slots, slot)
	}
	for _, hit := range hits {
		met[hit.Slot] = hit.Hit
		if _, named := names[hit.Slot]; !named {
			slots = append(slots, agent.Slot{Slot: hit.Slot, Part: Unknown, ID: strconv.FormatUint(uint64(hit.Slot), 10)})
		}
	}
	slices.SortFunc(slots, func(one, other agent.Slot) int { return cmp.Compare(one.Slot, other.Slot) })
	found := make([]Part, len(slots))
	for i, slot := range slots {
		found[i] = Part{slot.Part, slot.ID, met[slot.Slot]}
	}
	return found
}
