package dataplane_test

import (
	"os"
	"strings"
	"testing"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/object"
)

// Where somebody else's program comes first, what is attached has no maps of a policy; the one that judges has.
func TestTheProgramThatJudgesIsReadBehindSomebodyElses(t *testing.T) {
	h := bpftest.NewHost(t)
	root, file := dataplane.NewRoot(h.Root), object.Open(bpftest.Object(t))
	name := h.AddInterface()
	judge := h.Attach(name, nil)
	h.HandOn(name, judge)
	pinNew(t, h.Map(name, "before:packets"))
	h.Send(name, bpftest.UDP("192.0.2.1", 0), 3)

	info, err := judge.Info()
	must(t, err)
	survey := dataplane.Take(t.Context(), root, file)
	must(t, survey.Err())
	got := survey.Interfaces[0]
	if got.State != dataplane.Running || got.Program.Name != object.ProgramName || got.Program.Tag != info.Tag || got.Program.Mode != "native" {
		t.Errorf("got %v %+v", got.State, got.Program)
	}
	if len(got.Counts) != 1 || got.Counts[0].Packets != 3 {
		t.Errorf("got %+v, want the 3 packets that were handed on", got.Counts)
	}
}

func TestAProgramThatHandsOnToNobodyKnownIsDamaged(t *testing.T) {
	h := bpftest.NewHost(t)
	root, file := dataplane.NewRoot(h.Root), object.Open(bpftest.Object(t))
	name := h.AddInterface()
	h.HandOn(name, h.Attach(name, nil))
	must(t, os.Remove(h.Pins(name)+"/judge"))

	got := dataplane.Take(t.Context(), root, file).Interfaces[0]
	if got.State != dataplane.Damaged || !strings.Contains(got.Err.Error(), "no pin says to which program") {
		t.Errorf("got %v: %v", got.State, got.Err)
	}
}
