package workload

import (
	"fmt"
	"strings"
)

// maxTokens bounds an expression, so that a hostile script doesn't end the memory.
const maxTokens = 1000

// token is a word, a number, a variable with its colon, or an operator. The empty one is the end.
type token struct {
	text string
	kind tokenKind
}

type tokenKind int

const (
	end tokenKind = iota
	number
	name
	colonName
	symbol
)

// tokenize cuts an expression up.
func tokenize(text string) ([]token, error) {
	var tokens []token
	for i := 0; i < len(text); {
		c := text[i]
		if strings.IndexByte(" \t\r\n\f\v", c) >= 0 {
			i++
			continue
		}
		if len(tokens) == maxTokens {
			return nil, fmt.Errorf("an expression of more than %d words", maxTokens)
		}
		start, what := i, symbol
		switch {
		case isDigit(c), c == '.' && i+1 < len(text) && isDigit(text[i+1]):
			what = number
			i += numberLength(text[i:])
		case startsName(c):
			what = name
			i += nameLength(text[i:])
		case c == ':' && i+1 < len(text) && startsName(text[i+1]):
			what = colonName
			i += 1 + nameLength(text[i+1:])
		case i+1 < len(text) && isTwoLetterOperator(text[i:i+2]):
			i += 2
		case strings.IndexByte("+-*/%(),=<>&|#~", c) >= 0:
			i++
		default:
			return nil, fmt.Errorf("unexpected %q", firstCharacter(text[i:]))
		}
		tokens = append(tokens, token{text: text[start:i], kind: what})
	}
	return tokens, nil
}

func isTwoLetterOperator(text string) bool {
	switch text {
	case "<=", ">=", "<>", "!=", "<<", ">>":
		return true
	}
	return false
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// startsName and nameLength know the names of variables: letters, digits, underscores and what isn't ASCII, with no digit in
// front so that the time 10:30 has no variable in it.
func startsName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

func nameLength(text string) int {
	n := 0
	for n < len(text) && (startsName(text[n]) || isDigit(text[n])) {
		n++
	}
	return n
}

// numberLength takes an exponent only when digits follow.
func numberLength(text string) int {
	n := digitsLength(text)
	if n < len(text) && text[n] == '.' {
		n += 1 + digitsLength(text[n+1:])
	}
	if n < len(text) && (text[n] == 'e' || text[n] == 'E') {
		exponent := n + 1
		if exponent < len(text) && (text[exponent] == '+' || text[exponent] == '-') {
			exponent++
		}
		if digits := digitsLength(text[exponent:]); digits > 0 {
			n = exponent + digits
		}
	}
	return n
}

func digitsLength(text string) int {
	n := 0
	for n < len(text) && isDigit(text[n]) {
		n++
	}
	return n
}

func firstCharacter(text string) string {
	for _, r := range text {
		return string(r)
	}
	return ""
}
