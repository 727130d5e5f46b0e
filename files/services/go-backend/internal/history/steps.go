package history

import "tripod/go-backend/gen/tripodv1"

// Resolution is a length of steps, and how many of them are kept.
type Resolution struct {
	Seconds int64
	Steps   int
}

// Resolutions are those there are: an hour, a day, and 31 days.
var Resolutions = map[tripodv1.Resolution]Resolution{
	tripodv1.Resolution_RESOLUTION_SECOND:       {1, 3600},
	tripodv1.Resolution_RESOLUTION_TEN_SECONDS:  {10, 8640},
	tripodv1.Resolution_RESOLUTION_FIVE_MINUTES: {300, 8928},
}

// steps are those of one resolution, by their number since 1970. What is kept of a step lies at its number modulo how many
// steps there are, in columns that the owner clears as steps leave.
type steps struct {
	Resolution
	// first and head are the numbers of the oldest and of the newest step; head is below first where there is none.
	first, head int64
}

func newSteps(resolution Resolution) steps {
	return steps{Resolution: resolution, first: 0, head: -1}
}

// number returns the step that a moment is in (milliseconds).
func (s *steps) number(moment int64) int64 {
	return moment / (s.Seconds * 1000)
}

// place returns where a step lies in each column.
func (s *steps) place(number int64) int {
	return int(number % int64(s.Steps))
}

// count returns how many steps there are.
func (s *steps) count() int {
	return int(s.head - s.first + 1)
}

// move makes a step the newest one, and calls clear for each place that is another step's from now on.
//
// Where the clock was set back, what was kept of the steps from there on is taken away: they are yet to come.
func (s *steps) move(number int64, clear func(place int)) {
	switch {
	case s.head < s.first || number-s.head >= int64(s.Steps) || number < s.first:
		for place := range s.Steps {
			clear(place)
		}
		s.first = number
	case number < s.head:
		for gone := number; gone <= s.head; gone++ {
			clear(s.place(gone))
		}
	default:
		for begun := s.head + 1; begun <= number; begun++ {
			clear(s.place(begun))
		}
	}
	s.head = number
	s.first = max(s.first, s.head-int64(s.Steps)+1)
}
