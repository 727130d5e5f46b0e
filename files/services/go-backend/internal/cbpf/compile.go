package cbpf

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxExpression is how long an expression may be, in bytes.
const MaxExpression = 4096

// Compile returns the program of an expression, which takes so many bytes of the frames that meet it. The empty expression
// is the empty program. An error says which word is at fault, and what is possible.
func Compile(expression string, bytes uint32) (Program, error) {
	if len(expression) > MaxExpression {
		return nil, fmt.Errorf("filter: it has %d bytes, %d are possible", len(expression), MaxExpression)
	}
	tokens, err := split(expression)
	if err != nil || len(tokens) == 0 {
		return nil, err
	}
	p := &parser{tokens: tokens, link: 12, network: 14}
	found := p.expression()
	if p.fault == nil && p.at < len(tokens) {
		p.fail("\"and\", \"or\" or the end is expected")
	}
	if p.fault != nil {
		return nil, p.fault
	}
	return program(found, bytes)
}

// parser goes through tokens once. After a fault it goes on with what it has, and the first one counts.
type parser struct {
	tokens []token
	at     int
	fault  error
	// link is where a frame's ethertype is, network what is behind it: each VLAN that is asked for moves them, for the rest of
	// the expression.
	link, network uint32
	// last is what a bare address or port is taken for, once one with words before it was there.
	last *qualifier
}

func (p *parser) peek() string { return p.ahead(0) }

func (p *parser) ahead(n int) string {
	if p.at+n < len(p.tokens) {
		return p.tokens[p.at+n].text
	}
	return ""
}

func (p *parser) next() string {
	text := p.peek()
	p.at++
	return text
}

// accept goes on where one of some words is next.
func (p *parser) accept(words ...string) bool {
	for _, word := range words {
		if p.at < len(p.tokens) && p.peek() == word {
			p.at++
			return true
		}
	}
	return false
}

func (p *parser) expect(word string) {
	if !p.accept(word) {
		p.fail("%q is expected", word)
	}
}

// fail says what is wrong at the next word.
func (p *parser) fail(format string, arguments ...any) {
	if p.fault != nil {
		return
	}
	what := fmt.Sprintf(format, arguments...)
	if p.at < len(p.tokens) {
		p.fault = fmt.Errorf("filter: character %d, %q: %s", p.tokens[p.at].at, p.peek(), what)
	} else {
		p.fault = fmt.Errorf("filter: at its end: %s", what)
	}
}

// failBefore is fail at the word that was taken last.
func (p *parser) failBefore(format string, arguments ...any) {
	p.at--
	p.fail(format, arguments...)
	p.at++
}

// expression is terms joined by "and" and "or", which bind alike, from the left.
func (p *parser) expression() condition {
	found := p.term()
	for p.fault == nil {
		switch {
		case p.accept("and", "&&"):
			found = both{found, p.term()}
		case p.accept("or", "||"):
			found = either{found, p.term()}
		default:
			return found
		}
	}
	return found
}

func (p *parser) term() condition {
	switch {
	case p.fault != nil:
		return nil
	case p.accept("not", "!"):
		return opposite{p.term()}
	case p.calculates():
		return p.relation()
	case p.accept("("):
		found := p.expression()
		p.expect(")")
		return found
	}
	return p.primitive()
}

// calculates tells whether a comparison of values is next.
func (p *parser) calculates() bool {
	switch word := p.peek(); {
	case word == "len":
		return true
	case word == "-":
		return true
	case word == "(":
		// It is a value in parentheses where one calculates with it.
		depth := 0
		for n := 0; p.at+n < len(p.tokens); n++ {
			switch p.ahead(n) {
			case "(":
				depth++
			case ")":
				if depth--; depth == 0 {
					return calculations[p.ahead(n+1)] || comparisons[p.ahead(n+1)] != nil
				}
			}
		}
		return false
	case p.ahead(1) == "[":
		return true
	case calculations[p.ahead(1)] || comparisons[p.ahead(1)] != nil:
		_, err := strconv.ParseUint(word, 0, 32)
		return err == nil
	}
	return false
}

// calculations are operators between values.
var calculations = map[string]bool{
	"+": true, "-": true, "*": true, "/": true, "%": true, "&": true, "|": true, "^": true, "<<": true, ">>": true,
}

// comparison is a jump that is taken, or is not, where a comparison holds.
type comparison struct {
	jump    uint16
	negated bool
}

var comparisons = map[string]*comparison{
	"=": {equal, false}, "==": {equal, false}, "!=": {equal, true},
	">": {greater, false}, "<=": {greater, true}, ">=": {greaterEqual, false}, "<": {greaterEqual, true},
}

// relation is two values compared, of a frame that has the headers they are read from.
func (p *parser) relation() condition {
	var needed []condition
	left := p.value(0, &needed)
	how := comparisons[p.peek()]
	if how == nil {
		p.fail("a comparison is expected: =, !=, <, >, <= or >=")
		return nil
	}
	p.at++
	right := p.value(0, &needed)
	if p.fault != nil {
		return nil
	}
	if depth := max(left.depth(), right.depth()) + 1; depth > words {
		p.failBefore("it calculates with %d values at once, %d are possible", depth, words)
		return nil
	}
	var found condition = relation{left, right, how.jump}
	if how.negated {
		found = opposite{found}
	}
	for i := len(needed) - 1; i >= 0; i-- {
		found = both{needed[i], found}
	}
	return found
}

// priorities are of operators, from the loosest, as in pcap-filter's grammar.
var priorities = [][]string{{"|", "&", "^"}, {"<<", ">>"}, {"+", "-"}, {"*", "/", "%"}}

var operations = map[string]uint16{
	"|": or, "&": and, "^": exclusiveOr, "<<": shiftLeft, ">>": shiftRight, "+": add, "-": subtract, "*": multiply, "/": divide, "%": modulo,
}

// value reads what is calculated with operators of a priority and tighter ones. What a frame must have for it is added to
// needed.
func (p *parser) value(priority int, needed *[]condition) value {
	if priority == len(priorities) {
		return p.operand(needed)
	}
	left := p.value(priority+1, needed)
	for p.fault == nil {
		word := p.peek()
		if !p.accept(priorities[priority]...) {
			return left
		}
		right := p.value(priority+1, needed)
		if right == number(0) && (word == "/" || word == "%") {
			p.failBefore("it divides by 0")
		}
		if n, constant := right.(number); constant && n > 31 && (word == "<<" || word == ">>") {
			p.failBefore("it shifts by more than 31 bits")
		}
		left = operation{operations[word], left, right}
	}
	return left
}

func (p *parser) operand(needed *[]condition) value {
	switch word := p.peek(); {
	case p.fault != nil:
		return number(0)
	case p.accept("-"):
		return negation{p.operand(needed)}
	case p.accept("("):
		found := p.value(0, needed)
		p.expect(")")
		return found
	case p.accept("len"):
		return frameLength{}
	case p.ahead(1) == "[":
		return p.access(needed)
	default:
		if known, found := names[word]; found {
			p.at++
			return number(known)
		}
		n, err := strconv.ParseUint(word, 0, 32)
		if err != nil || strings.Contains(word, "_") {
			p.fail("a number, a field or something like ip[0] is expected")
			return number(0)
		}
		p.at++
		return number(n)
	}
}

// access reads bytes of a header, such as tcp[tcpflags] or ip[2:2].
func (p *parser) access(needed *[]condition) value {
	header := p.peek()
	place, transport, conditions := p.header(header)
	if p.fault != nil {
		return number(0)
	}
	p.at += 2
	found := bytes{index: p.value(0, needed), place: place, transport: transport, ip: p.network, size: sizeByte}
	if p.accept(":") {
		switch size := p.next(); size {
		case "1":
		case "2":
			found.size = sizeHalf
		case "4":
			found.size = sizeWord
		default:
			p.failBefore("1, 2 or 4 bytes can be read at once")
		}
	}
	p.expect("]")
	*needed = append(*needed, conditions...)
	return found
}

// header returns where a header is, whether it is behind an IPv4 header, and what a frame must be to have it.
func (p *parser) header(name string) (place uint32, transport bool, needed []condition) {
	switch name {
	case "ether", "link":
		return 0, false, nil
	case "ip", "ip6", "arp", "rarp":
		return p.network, false, []condition{p.ethertype(ethertypes[name])}
	case "icmp6":
		return p.network + 40, false, []condition{p.ethertype(typeIPv6), p.byteAt(6, protocols[name])}
	case "tcp", "udp", "sctp", "icmp", "igmp", "igrp", "pim", "vrrp":
		return p.network, true, []condition{p.ethertype(typeIPv4), p.byteAt(9, protocols[name]), p.unfragmented()}
	}
	p.fail("bytes can be read of ether, ip, ip6, arp, rarp, tcp, udp, sctp, icmp, icmp6, igmp, igrp, pim and vrrp")
	return 0, false, nil
}
