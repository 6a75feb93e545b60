package config

import "strings"

// unknownName says that name is not known and, where one of the known names
// is near enough to be what was meant, which.
func unknownName(what, name string, known []string) string {
	message := "unknown " + what + " " + quoteShort(name)
	if near, ok := Nearest(name, known); ok {
		message += ", did you mean " + near + "?"
	}
	return message
}

// Nearest returns the known name with the least edit distance from name,
// whatever the case of letters, if that is at most two or a third of its
// length, and whether there is one.
func Nearest(name string, known []string) (string, bool) {
	// Longer than any setting by far: nothing is near, and the comparison
	// below takes time proportional to the length.
	const longest = 64
	if name == "" || len(name) > longest {
		return "", false
	}
	name = strings.ToLower(name)
	best, bestDistance := "", max(2, len(name)/3)+1
	for _, candidate := range known {
		if d := editDistance(name, strings.ToLower(candidate)); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	// Two edits turn any two-letter word into any other.
	return best, best != "" && bestDistance < len(name)
}

// editDistance counts the insertions, deletions and substitutions of bytes
// that turn a into b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// quoteShort quotes text for a message, cut to a length that keeps the
// message readable.
func quoteShort(text string) string {
	const longest = 48
	if len(text) > longest {
		return quote(text[:longest]) + "..."
	}
	return quote(text)
}

func quote(text string) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	return `"` + clean + `"`
}
