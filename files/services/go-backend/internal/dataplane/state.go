package dataplane

import (
	"errors"
	"fmt"
)

// State is one word for what has become of an interface that has pins, or of what all of them need.
type State string

const (
	// Running: the interface runs the pinned program, and every pin is that program's.
	Running State = "attached"
	// Absent: there is no such interface; an unplugged one is no failure of anybody.
	Absent State = "absent"
	// Detached: the interface runs no XDP program.
	Detached State = "detached"
	// Foreign: the interface runs another program than the pinned one.
	Foreign State = "foreign"
	// Unpinned: the interface runs a program, and none is pinned to compare it with.
	Unpinned State = "unpinned"
	// Damaged: the interface runs the pinned program, but pins of maps are missing, or are not that program's.
	Damaged State = "damaged"
	// Outdated: the interface runs the program of an earlier release, whose pins are all as they were then.
	Outdated State = "outdated"
	// Unreadable: the kernel or a pin gave no answer.
	Unreadable State = "unreadable"

	// ObjectUnusable is the state of the object file where it cannot be read.
	ObjectUnusable State = "object_unusable"
	// Unexpected is the state of an entry in the pin root that cannot belong to an interface.
	Unexpected State = "unexpected"
)

// States are those that an interface can have.
func States() []State {
	return []State{Running, Absent, Detached, Foreign, Unpinned, Damaged, Outdated, Unreadable}
}

// stateError says which state an interface is in, and why.
type stateError struct {
	state State
	// unsettled: it may be the middle of a replacement.
	unsettled bool
	err       error
}

func (e *stateError) Error() string { return e.err.Error() }

func (e *stateError) Unwrap() error { return e.err }

func refuse(state State, format string, arguments ...any) error {
	return &stateError{state: state, err: fmt.Errorf(format, arguments...)}
}

func unsettled(state State, format string, arguments ...any) error {
	return &stateError{state: state, unsettled: true, err: fmt.Errorf(format, arguments...)}
}

func isSettled(err error) bool {
	var known *stateError
	return !errors.As(err, &known) || !known.unsettled
}

// stateOf returns the state that an error tells of; one that nobody foresaw means that something could not be read.
func stateOf(err error) State {
	var known *stateError
	switch {
	case err == nil:
		return Running
	case errors.As(err, &known):
		return known.state
	default:
		return Unreadable
	}
}
