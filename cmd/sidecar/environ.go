package sidecar

import (
	"slices"
	"strings"
)

// Environ is an environment as os.Environ has it. Of repeated names the last counts.
type Environ []string

// Lookup returns a variable and whether it is set.
func (e Environ) Lookup(name string) (value string, set bool) {
	for _, entry := range slices.Backward(e) {
		if key, value, ok := strings.Cut(entry, "="); ok && key == name {
			return value, true
		}
	}
	return "", false
}

// Value returns a variable, "" if it isn't set.
func (e Environ) Value(name string) string {
	value, _ := e.Lookup(name)
	return value
}

// With returns a new environment in which the variables have these values, and none of those without is set. No copy of an
// earlier value of them is left in it; the other entries are as they were.
func (e Environ) With(values map[string]string, without ...string) Environ {
	next := make(Environ, 0, len(e)+len(values))
	for _, entry := range e {
		name, _, _ := strings.Cut(entry, "=")
		if _, replaced := values[name]; !replaced && !slices.Contains(without, name) {
			next = append(next, entry)
		}
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		next = append(next, name+"="+values[name])
	}
	return next
}
