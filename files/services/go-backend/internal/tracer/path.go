package tracer

import "tripod/go-backend/internal/object"

// Step is what one part of the policy said of a frame.
type Step struct {
	// Part is "trusted", "ban", "list", "rule", "limit", "service" or "default".
	Part string
	// Slot is where it is counted; 0 for those that there is one of.
	Slot uint32
	// Says is a verdict's name where it decided, or would have in observe mode, "matched" where others had the last word, and
	// of a limit "conformed" or "exceeded".
	Says string
	// Observed: it is in observe mode, so it changed nothing.
	Observed bool
}

// path returns who said something of a packet, in the order of the questions (docs/decisions/0036).
func path(record *object.TraceRecord, names object.Names) []Step {
	var steps []Step
	matched := func(part string, slot uint16, observed bool) {
		says := "matched"
		switch {
		case slot == 0:
			return
		case observed && slot == record.WouldSlot:
			says = names.Verdicts.Name(record.Would)
		case !observed && slot == record.Slot:
			says = names.Verdicts.Name(record.Verdict)
		}
		steps = append(steps, Step{part, uint32(slot), says, observed})
	}
	if record.Trusted != 0 {
		steps = append(steps, Step{Part: "trusted", Says: names.Verdicts.Name(record.Verdict)})
	}
	if record.Banned != 0 {
		steps = append(steps, Step{Part: "ban", Says: names.Verdicts.Name(record.Verdict)})
	}
	matched("list", record.ObservedList, true)
	matched("list", record.List, false)
	matched("rule", record.ObservedRule, true)
	matched("rule", record.Rule, false)
	limits := func(asked []object.AskedLimit) {
		for _, limit := range asked {
			says := "conformed"
			switch {
			case limit.Slot == 0:
				continue
			case limit.Outcome != object.Conformed:
				says = "exceeded"
			}
			steps = append(steps, Step{"limit", uint32(limit.Slot), says, limit.Outcome == object.Observed})
		}
	}
	limits(record.Limits[:object.ServiceLimits])
	matched("service", record.Service, false)
	limits(record.Limits[object.ServiceLimits:])
	if reason := names.Reasons.Name(record.Reason); reason == "no_rule" || reason == "default" {
		steps = append(steps, Step{Part: "default", Says: names.Verdicts.Name(record.Verdict)})
	}
	return steps
}
