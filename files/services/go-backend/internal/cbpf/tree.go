package cbpf

import "fmt"

// MaxInstructions is how long a program may be (BPF_MAXINSNS).
const MaxInstructions = 4096

// condition is what a frame meets or does not.
type condition interface {
	// emit puts the code before what is there, and returns where it begins. It goes on at one of two places.
	emit(c *code, met, missed int) int
}

// code is a program from its end: a place is the number of instructions from there on, so that all jumps, which lead
// forwards, know how far it is.
type code struct{ backwards []Instruction }

func (c *code) put(i Instruction) int {
	c.backwards = append(c.backwards, i)
	return len(c.backwards)
}

// near returns a place that a jump which is put so many instructions later reaches.
func (c *code) near(place int) int {
	const reach, others = 255, 2
	if len(c.backwards)+others-place <= reach {
		return place
	}
	return c.put(Instruction{Code: classJump | always, K: uint32(len(c.backwards) - place)})
}

func (c *code) branch(operation uint16, k uint32, met, missed int) int {
	met = c.near(met)
	missed = c.near(missed)
	here := len(c.backwards)
	return c.put(Instruction{Code: classJump | operation, K: k, True: uint8(here - met), False: uint8(here - missed)})
}

// program returns the code of a condition that takes so many bytes of a frame.
func program(c condition, bytes uint32) (Program, error) {
	var out code
	missed := out.put(Instruction{Code: classReturn})
	met := out.put(Instruction{Code: classReturn, K: bytes})
	c.emit(&out, met, missed)
	if n := len(out.backwards); n > MaxInstructions {
		return nil, fmt.Errorf("filter: it takes %d instructions, %d are possible", n, MaxInstructions)
	}
	p := make(Program, len(out.backwards))
	for i, instruction := range out.backwards {
		p[len(p)-1-i] = instruction
	}
	return p, nil
}

type both struct{ first, second condition }

func (b both) emit(c *code, met, missed int) int {
	return b.first.emit(c, b.second.emit(c, met, missed), missed)
}

type either struct{ first, second condition }

func (e either) emit(c *code, met, missed int) int {
	return e.first.emit(c, met, e.second.emit(c, met, missed))
}

type opposite struct{ of condition }

func (o opposite) emit(c *code, met, missed int) int { return o.of.emit(c, missed, met) }

// test compares a value of the frame, or a part of it, with a number.
type test struct {
	load      []Instruction // into A
	mask      uint32        // 0 is all of it
	operation uint16
	value     uint32
}

func (t test) emit(c *code, met, missed int) int {
	place := c.branch(t.operation, t.value, met, missed)
	if t.mask != 0 {
		place = c.put(Instruction{Code: classALU | and, K: t.mask})
	}
	for i := len(t.load) - 1; i >= 0; i-- {
		place = c.put(t.load[i])
	}
	return place
}

// relation compares two values that are calculated.
type relation struct {
	left, right value
	operation   uint16
}

func (r relation) emit(c *code, met, missed int) int {
	// To the right first, which is kept while the left is calculated.
	c.branch(r.operation|sourceX, 0, met, missed)
	c.put(Instruction{Code: classLoadX | modeMemory, K: 0})
	r.left.emit(c, 1)
	c.put(Instruction{Code: classStore, K: 0})
	return r.right.emit(c, 1)
}

// value is a number that is calculated into A. Memory from a word on is free.
type value interface {
	emit(c *code, free uint32) int
	// depth is how many words of memory it takes.
	depth() uint32
}

type number uint32

func (n number) emit(c *code, _ uint32) int {
	return c.put(Instruction{Code: classLoad | modeImmediate, K: uint32(n)})
}
func (number) depth() uint32 { return 0 }

type frameLength struct{}

func (frameLength) emit(c *code, _ uint32) int {
	return c.put(Instruction{Code: classLoad | modeLength})
}
func (frameLength) depth() uint32 { return 0 }

// bytes are the frame's, at an index behind a place; in a transport header behind the IPv4 header that is at ip.
type bytes struct {
	index     value
	size      uint16
	place     uint32
	transport bool
	ip        uint32
}

func (b bytes) emit(c *code, free uint32) int {
	if n, constant := b.index.(number); constant && !b.transport {
		return c.put(Instruction{Code: classLoad | modeAbsolute | b.size, K: b.place + uint32(n)})
	}
	c.put(Instruction{Code: classLoad | modeIndexed | b.size, K: b.place})
	c.put(Instruction{Code: classMisc}) // to X
	if b.transport {
		c.put(Instruction{Code: classALU | add | sourceX})
		c.put(Instruction{Code: classLoadX | sizeByte | modeHeader, K: b.ip})
	}
	return b.index.emit(c, free)
}
func (b bytes) depth() uint32 { return b.index.depth() }

type operation struct {
	kind        uint16
	left, right value
}

func (o operation) emit(c *code, free uint32) int {
	c.put(Instruction{Code: classALU | o.kind | sourceX})
	c.put(Instruction{Code: classLoadX | modeMemory, K: free})
	o.left.emit(c, free+1)
	c.put(Instruction{Code: classStore, K: free})
	return o.right.emit(c, free)
}
func (o operation) depth() uint32 { return max(o.left.depth()+1, o.right.depth(), 1) }

type negation struct{ of value }

func (n negation) emit(c *code, free uint32) int {
	c.put(Instruction{Code: classALU | negate})
	return n.of.emit(c, free)
}
func (n negation) depth() uint32 { return n.of.depth() }
