package cbpf

import (
	"fmt"
	"strings"
)

// token is a piece of an expression.
type token struct {
	text string
	at   int // its first character's number, from 1
}

// operators, those of two characters first.
var operators = []string{"&&", "||", "==", "!=", "<=", ">=", "<<", ">>", "(", ")", "[", "]", "!", "=", "<", ">", "&", "|", "+", "*",
	"%", "^", ","}

// split returns the tokens of an expression. Words may have what addresses have: dots, colons, slashes and hyphens; within
// brackets colons, slashes and hyphens stand for themselves.
func split(expression string) ([]token, error) {
	var tokens []token
	brackets := 0
	for at := 0; at < len(expression); {
		rest := expression[at:]
		if strings.ContainsRune(" \t\r\n", rune(rest[0])) {
			at++
			continue
		}
		if operator := prefix(rest, operators); operator != "" {
			tokens = append(tokens, token{operator, at + 1})
			at += len(operator)
			switch operator {
			case "[":
				brackets++
			case "]":
				brackets--
			}
			continue
		}
		length := strings.IndexFunc(rest, func(r rune) bool { return !wordly(r) })
		if length < 0 {
			length = len(rest)
		}
		if length == 0 {
			return nil, fmt.Errorf("filter: character %d: %q has no meaning", at+1, []rune(rest)[0])
		}
		if brackets > 0 || arithmetic(tokens) || rest[0] == '-' || rest[0] == '/' {
			length = piece(rest[:length], brackets > 0)
		}
		tokens = append(tokens, token{rest[:length], at + 1})
		at += length
	}
	return tokens, nil
}

func wordly(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(`.:/-_\`, r)
}

// arithmetic tells whether what comes next is a part of a calculation, by what was last.
func arithmetic(tokens []token) bool {
	if len(tokens) == 0 {
		return false
	}
	last := tokens[len(tokens)-1].text
	return last == "]" || last == "len" || prefix(last, operators) == last && !strings.Contains("&&||!()", last) || last == "&" || last == "|" ||
		last == "/" || last == "-"
}

// piece is how long the first part of a calculation's word is: hyphens are a minus, but for those in names.
func piece(word string, brackets bool) int {
	if strings.ContainsRune("/-:", rune(word[0])) {
		return 1
	}
	for name := range names {
		if strings.HasPrefix(word, name) && (len(word) == len(name) || strings.ContainsRune("/-:", rune(word[len(name)]))) {
			return len(name)
		}
	}
	if end := strings.IndexAny(word, "/-:"); end > 0 && (brackets || word[end] != ':') {
		return end
	}
	return len(word)
}

func prefix(text string, of []string) string {
	for _, one := range of {
		if strings.HasPrefix(text, one) {
			return one
		}
	}
	return ""
}

// names are numbers: fields of headers, and what is in them.
var names = map[string]uint32{
	"tcpflags": 13, "tcp-fin": 1, "tcp-syn": 2, "tcp-rst": 4, "tcp-push": 8, "tcp-ack": 16, "tcp-urg": 32, "tcp-ece": 64, "tcp-cwr": 128,
	"icmptype": 0, "icmpcode": 1, "icmp-echoreply": 0, "icmp-unreach": 3, "icmp-sourcequench": 4, "icmp-redirect": 5, "icmp-echo": 8,
	"icmp-routeradvert": 9, "icmp-routersolicit": 10, "icmp-timxceed": 11, "icmp-paramprob": 12, "icmp-tstamp": 13, "icmp-tstampreply": 14,
	"icmp6type": 0, "icmp6code": 1, "icmp6-destinationrunreach": 1, "icmp6-packettoobig": 2, "icmp6-timeexceeded": 3,
	"icmp6-parameterproblem": 4, "icmp6-echo": 128, "icmp6-echoreply": 129, "icmp6-routersolicit": 133, "icmp6-routeradvert": 134,
	"icmp6-neighborsolicit": 135, "icmp6-neighboradvert": 136, "icmp6-redirect": 137,
}
