package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Audit says how often a server is asked, at the end of a transaction, what is
// left behind in its session. What the text of a statement says plainly is
// asked about whatever the setting. The zero value is "off".
type Audit struct {
	// Suspicious is whether it is asked after statements whose text doesn't say
	// what they do.
	Suspicious bool
	// Every asks after each transaction in so many, whatever the text: 1 is
	// always, 0 never.
	Every int
}

// rarestAudit bounds Audit.Every.
const rarestAudit = 1_000_000

// String returns the setting as it is written in a configuration file.
func (a Audit) String() string {
	switch {
	case a.Every == 1:
		return "always"
	case a.Every > 1:
		return "1/" + strconv.Itoa(a.Every)
	case a.Suspicious:
		return "suspicious"
	}
	return "off"
}

func parseAudit(text string) (Audit, error) {
	switch strings.ToLower(text) {
	case "off":
		return Audit{}, nil
	case "suspicious":
		return Audit{Suspicious: true}, nil
	case "always":
		return Audit{Suspicious: true, Every: 1}, nil
	}
	if every, ok := strings.CutPrefix(text, "1/"); ok {
		if n, err := strconv.ParseUint(every, 10, 32); err == nil && 1 <= n && n <= rarestAudit {
			return Audit{Suspicious: true, Every: int(n)}, nil
		}
	}
	return Audit{}, fmt.Errorf("expected one of off, suspicious, always, or 1/N with N from 1 to %d", rarestAudit)
}

func audit[T any](at func(*T) *Audit) binding[T] {
	return field[T, Audit]{at, parseAudit, Audit.String}
}

func maybeAudit[T any](at func(*T) *Optional[Audit]) binding[T] {
	return maybe(at, parseAudit, Audit.String)
}
