package dataplane

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"tripod/go-backend/internal/object"
	"tripod/go-backend/internal/rescue"
)

// Report is one interface that has pins, as it was read.
type Report struct {
	Name  string
	State State
	// Program is what is pinned; it runs where Runs says so. Zero where the pin could not be read.
	Program Program
	// Counts are the counters of that program, which stand still where it does not run; nil with Counted false where
	// they could not be read.
	Counts  []Count
	Counted bool
	// Hits are what the parts of its policy have met, where they were asked for.
	Hits []Hit
	// Err says what is wrong, and nil means nothing.
	Err error
}

// Runs tells whether the interface runs the pinned program.
func (r Report) Runs() bool {
	return r.State == Running || r.State == Damaged || r.State == Outdated
}

// fails tells whether what this service exists for does not work on the interface: one that is unplugged is nobody's failure,
// and one of an earlier release filters and counts.
func (r Report) fails() bool {
	return r.Err != nil && r.State != Absent && r.State != Outdated
}

// Problem is one thing that is not as it should be.
type Problem struct {
	// Interface is empty where the problem is nobody's alone.
	Interface string
	State     State
	// Text says what, where and what to do.
	Text string
	// Fails: something that this service exists for does not work.
	Fails bool
}

// Survey is what is attached, what was counted and what is wrong at one moment. Health, readiness, statistics and metrics
// all answer from it, so that they agree.
type Survey struct {
	// Interfaces are sorted by name.
	Interfaces []Report
	// Listed tells whether the pin root could be listed; where not, Interfaces is empty for want of an answer.
	Listed bool
	// Names are those of the object file, of its predecessor where the file is not usable now, or numbers.
	Names object.Names
	// ObjectUsable tells whether the names are of the file as it is now.
	ObjectUsable bool
	// Unexpected are the entries of the pin root that cannot belong to an interface, quoted.
	Unexpected []string
	// Problems begin with those that are nobody's alone.
	Problems []Problem
}

// Take reads everything once but for the hits. It returns all it could read, whatever else could not be.
func Take(ctx context.Context, root Root, file *object.File) Survey {
	return take(ctx, root, file, false)
}

// TakeWithHits is Take with the hits, which are far more than all else.
func TakeWithHits(ctx context.Context, root Root, file *object.File) Survey {
	return take(ctx, root, file, true)
}

func take(ctx context.Context, root Root, file *object.File, hits bool) Survey {
	var s Survey
	err := rescue.Do("pin root", func() (err error) {
		found, err := root.list()
		s.Unexpected = found.unexpected
		if err == nil {
			s.Interfaces, s.Listed = root.reports(ctx, found.interfaces, hits), true
		}
		return err
	})
	if err != nil {
		s.add("", Unreadable, err, true)
	}
	err = rescue.Do("object file", func() (err error) {
		s.Names, err = file.Names()
		return err
	})
	s.ObjectUsable = err == nil
	if err != nil {
		s.add("", ObjectUnusable, err, true)
	}
	if len(s.Unexpected) > 0 {
		s.add("", Unexpected, unexpectedError(root, s.Unexpected), false)
	}
	for _, report := range s.Interfaces {
		if report.Err != nil {
			s.add(report.Name, report.State, report.Err, report.fails())
		}
	}
	return s
}

// Err returns what keeps this service from its work, all of it, or nil.
func (s Survey) Err() error {
	var failures []error
	for _, problem := range s.Problems {
		if problem.Fails {
			failures = append(failures, errors.New(problem.Text))
		}
	}
	return errors.Join(failures...)
}

// Notes returns what is out of order but keeps nobody from work, in one line.
func (s Survey) Notes() string {
	var notes []string
	for _, problem := range s.Problems {
		if !problem.Fails {
			notes = append(notes, problem.Text)
		}
	}
	return strings.Join(notes, "; ")
}

func (s *Survey) add(name string, state State, err error, fails bool) {
	s.Problems = append(s.Problems, Problem{Interface: name, State: state, Text: clean(err.Error()), Fails: fails})
}

// unexpectedError names the first few; a directory may hold any number.
func unexpectedError(root Root, entries []string) error {
	const shown = 8
	more := ""
	if len(entries) > shown {
		more = fmt.Sprintf(" and %d more", len(entries)-shown)
		entries = entries[:shown]
	}
	return fmt.Errorf("pin root %s holds what no interface can have put there: %s%s; remove it on the host if nobody needs it",
		root.path, strings.Join(entries, ", "), more)
}

// reports reads interfaces. Those in the middle of a replacement wait together: many that are broken must not take longer
// than one, as those who ask have little patience.
func (r Root) reports(ctx context.Context, names []string, hits bool) []Report {
	reports := make([]Report, len(names))
	pending := make([]int, len(names))
	for i := range pending {
		pending[i] = i
	}
	settle(ctx, func() bool {
		pending = slices.DeleteFunc(pending, func(i int) bool {
			var done bool
			reports[i], done = r.report(names[i], hits)
			return done
		})
		return len(pending) == 0
	})
	// One that was detached while it was read has no pins any more, and is nobody's concern.
	return slices.DeleteFunc(reports, func(report Report) bool {
		if report.Err == nil {
			return false
		}
		_, err := os.Stat(r.directory(report.Name))
		return errors.Is(err, fs.ErrNotExist)
	})
}

// report reads one interface, and tells whether that is the last word.
func (r Root) report(name string, hits bool) (Report, bool) {
	report, done := Report{Name: name}, false
	err := rescue.Do("interface "+name, func() error {
		found, err := open(r.directory(name), name)
		report.State, report.Err, done = stateOf(err), err, isSettled(err)
		if found == nil {
			return nil
		}
		report.Program = found.Program
		earlier := found.IsEarlier()
		counts, wrong := found.Counters()
		report.Counts, report.Counted = counts, wrong == nil
		if !earlier {
			wrong = errors.Join(wrong, report.readHits(found, hits))
		}
		if err != nil {
			// It does not run: what its pins hold is of no consequence until it does.
			return nil
		}
		wrong = errors.Join(found.checkMaps(), wrong)
		switch {
		case wrong != nil:
			report.State, report.Err, done = Damaged, wrong, false
		case earlier:
			report.State, report.Err = Outdated, fmt.Errorf("interface %s runs the program of an earlier release, which filters by its "+
				"list and counts, and knows no other part of a policy: attach the program of this release", name)
		}
		return nil
	})
	if err != nil {
		report = Report{Name: name, State: Unreadable, Err: fmt.Errorf("%w: interface %s: %w", ErrDamaged, name, err)}
		done = true
	}
	return report, done
}

// readHits reads the hits where they are asked for, and else tells whether they could be.
func (r *Report) readHits(found *Interface, asked bool) (err error) {
	if !asked {
		return found.checkHits()
	}
	r.Hits, err = found.Hits()
	return err
}
