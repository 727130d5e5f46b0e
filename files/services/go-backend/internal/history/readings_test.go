package history_test

import (
	"testing"

	"tripod/go-backend/gen/tripodv1"
	"tripod/go-backend/internal/history"
)

func ids(readings []*tripodv1.Reading) (found []string) {
	for _, one := range readings {
		found = append(found, one.GetId())
	}
	return found
}

func TestWhoNamesAReadingGetsWhatCameSinceAndNothingTwice(t *testing.T) {
	r := history.NewReadings()
	for range 5 {
		r.Add(&tripodv1.StatsResponse{})
	}
	all, lost, _ := r.After("")
	if len(all) != 5 || lost {
		t.Fatalf("got %v, %t", ids(all), lost)
	}
	rest, lost, came := r.After(all[2].GetId())
	if len(rest) != 2 || rest[0] != all[3] || lost {
		t.Errorf("got %v, %t", ids(rest), lost)
	}
	select {
	case <-came:
		t.Error("nothing came")
	default:
	}
	r.Add(&tripodv1.StatsResponse{})
	<-came
	if rest, lost, _ := r.After(all[4].GetId()); len(rest) != 1 || lost {
		t.Errorf("got %v, %t", ids(rest), lost)
	}
}

func TestWhatIsNotKeptAnyMoreIsALoss(t *testing.T) {
	r, other := history.NewReadings(), history.NewReadings()
	r.Add(&tripodv1.StatsResponse{})
	other.Add(&tripodv1.StatsResponse{})
	first, _, _ := r.After("")
	foreign, _, _ := other.After("")
	for range history.Kept {
		r.Add(&tripodv1.StatsResponse{})
	}
	// The one that left a moment ago is not missed by who has it.
	if rest, lost, _ := r.After(first[0].GetId()); len(rest) != history.Kept || lost {
		t.Errorf("%d are there, lost %t", len(rest), lost)
	}
	r.Add(&tripodv1.StatsResponse{})
	for _, id := range []string{first[0].GetId(), foreign[0].GetId(), "x", "-", first[0].GetId() + "9999", "-1"} {
		if rest, lost, _ := r.After(id); len(rest) != history.Kept || !lost {
			t.Errorf("%q: %d are there, lost %t", id, len(rest), lost)
		}
	}
}

func TestNobodyWaitsForWhatDoesNotComeAnyMore(t *testing.T) {
	r := history.NewReadings()
	_, _, before := r.After("")
	r.Close()
	<-before
	_, _, after := r.After("")
	<-after
}
