package parts_test

import (
	"reflect"
	"testing"

	"tripod/go-backend/internal/agent"
	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/object"
	"tripod/go-backend/internal/parts"
)

func TestEveryNamedPartIsToldAndNoPacketIsLost(t *testing.T) {
	names := map[uint32]agent.Slot{
		9: {Slot: 9, Part: "service", ID: "web"},
		2: {Slot: 2, Part: "list", ID: "bogons"},
	}
	hits := []dataplane.Hit{
		{Slot: 2, Hit: object.Hit{Packets: 3, Bytes: 180}},
		{Slot: 5, Hit: object.Hit{ObservedPackets: 1, ObservedBytes: 60}},
	}
	want := []parts.Part{
		{Part: "list", ID: "bogons", Hit: hits[0].Hit},
		{Part: parts.Unknown, ID: "5", Hit: hits[1].Hit},
		{Part: "service", ID: "web"},
	}
	if got := parts.Of(hits, names); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := parts.Of(nil, nil); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
}
