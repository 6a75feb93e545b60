package auth

import (
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/bidi"
	"golang.org/x/text/unicode/norm"
)

// Prepare returns a password as SCRAM has it hashed, by servers and by clients:
// normalized by SASLprep, or as it is where that isn't possible.
func Prepare(password string) string { return prepare(password) }

// prepare normalizes a password by SASLprep (RFC 4013). Like Postgres it takes
// the bytes as they are where the profile doesn't permit them: they may be in
// another encoding, and the client does the same.
func prepare(password string) string {
	if isASCII(password) || !utf8.ValidString(password) {
		return password
	}
	mapped := strings.Map(func(r rune) rune {
		switch {
		case within(prepSpaces, r):
			return ' '
		case within(prepNothing, r):
			return -1
		}
		return r
	}, password)
	prepared := norm.NFKC.String(mapped)
	if prepared == "" || !isPermitted(prepared) {
		return password
	}
	return prepared
}

// isASCII says whether s is ASCII without control characters, which SASLprep
// leaves as it is.
func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// isPermitted applies what RFC 4013 prohibits, and the rules of RFC 3454,
// section 6, for text that runs from right to left.
func isPermitted(s string) bool {
	left, right := false, false
	for _, r := range s {
		if within(prepForbidden, r) {
			return false
		}
		switch direction(r) {
		case bidi.L:
			left = true
		case bidi.R, bidi.AL:
			right = true
		}
	}
	if !right {
		return true
	}
	first, _ := utf8.DecodeRuneInString(s)
	last, _ := utf8.DecodeLastRuneInString(s)
	return !left && isRightToLeft(first) && isRightToLeft(last)
}

func isRightToLeft(r rune) bool {
	c := direction(r)
	return c == bidi.R || c == bidi.AL
}

func direction(r rune) bidi.Class {
	p, _ := bidi.LookupRune(r)
	return p.Class()
}

// within says whether r is in one of the sorted ranges.
func within(ranges [][2]rune, r rune) bool {
	_, found := slices.BinarySearchFunc(ranges, r, func(pair [2]rune, r rune) int {
		switch {
		case pair[1] < r:
			return -1
		case pair[0] > r:
			return 1
		}
		return 0
	})
	return found
}
