package config

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Optional is a value that may be absent, in which case a wider scope's value
// applies. The zero value is absent.
type Optional[V any] struct {
	Value V    // meaningful only if Set
	Set   bool // whether the value was given
}

// Some returns an Optional that holds v.
func Some[V any](v V) Optional[V] { return Optional[V]{Value: v, Set: true} }

// Or returns the value, or fallback if it is absent.
func (o Optional[V]) Or(fallback V) V {
	if o.Set {
		return o.Value
	}
	return fallback
}

// longestTime bounds every duration. In microseconds it is below 2^53, so
// that fractions of a second survive being printed and read again.
const longestTime = 1_000_000_000 * time.Second

// parseInt reads a whole number as C's strtol does with base 0: 0x for
// hexadecimal, a leading 0 for octal.
func parseInt(text string, least, most int) (int, error) {
	n, err := strconv.ParseInt(text, 0, 64)
	if err != nil || strings.Contains(text, "_") || n < int64(least) || n > int64(most) {
		return 0, fmt.Errorf("expected a whole number from %d to %d", least, most)
	}
	return int(n), nil
}

func parseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "1", "yes", "on", "true":
		return true, nil
	case "0", "no", "off", "false":
		return false, nil
	}
	return false, errors.New("expected 0 or 1 (or no/yes, off/on, false/true)")
}

func formatBool(v bool) string {
	if v {
		return "1"
	}
	return "0"
}

// parseTime reads a number in the setting's own unit, or a number with a unit
// (us, ms, s, min, h, d), or Go's compound form such as 1m30s.
func parseTime(text string, unit time.Duration) (time.Duration, error) {
	bad := fmt.Errorf("expected a time from 0 to %d s, as a number of %s or with a unit such as 500ms, 5s, 2min",
		int(longestTime/time.Second), unitName(unit))
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyz")
	switch text[len(digits):] {
	case "":
	case "us":
		unit = time.Microsecond
	case "ms":
		unit = time.Millisecond
	case "s":
		unit = time.Second
	case "min", "m":
		unit = time.Minute
	case "h":
		unit = time.Hour
	case "d":
		unit = 24 * time.Hour
	default:
		return 0, bad
	}
	if strings.ContainsAny(digits, "hms") {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 || d > longestTime {
			return 0, bad
		}
		return d.Round(time.Microsecond), nil
	}
	v, err := strconv.ParseFloat(strings.TrimRight(digits, " "), 64)
	// The comparison is written so that NaN fails it.
	if err != nil || strings.ContainsAny(digits, "xX_") || !(v >= 0 && v*float64(unit) <= float64(longestTime)) {
		return 0, bad
	}
	return time.Duration(math.Round(v*float64(unit/time.Microsecond))) * time.Microsecond, nil
}

func unitName(unit time.Duration) string {
	if unit == time.Millisecond {
		return "milliseconds"
	}
	return "seconds"
}

// formatTime prints d as a decimal number of units, exactly.
func formatTime(d, unit time.Duration) string {
	text := strconv.FormatInt(int64(d/unit), 10)
	rest := d % unit
	if rest == 0 {
		return text
	}
	width := len(strconv.FormatInt(int64(unit), 10)) - 1
	return text + "." + strings.TrimRight(fmt.Sprintf("%0*d", width, int64(rest)), "0")
}

// parseSize reads a number of bytes, with Postgres's units kB, MB and GB
// allowed.
func parseSize(text string, least, most int) (int, error) {
	digits, factor := text, 1
	for _, unit := range []struct {
		suffix string
		factor int
	}{{"kB", 1 << 10}, {"MB", 1 << 20}, {"GB", 1 << 30}} {
		if d, ok := strings.CutSuffix(text, unit.suffix); ok {
			digits, factor = strings.TrimRight(d, " "), unit.factor
		}
	}
	n, err := parseInt(digits, 0, most/factor)
	if err != nil || n*factor < least {
		return 0, fmt.Errorf("expected a number of bytes from %d to %d, or one with kB, MB or GB", least, most)
	}
	return n * factor, nil
}

// parseFileMode demands the leading zero: PgBouncer reads 777 as a decimal
// number, which is a quite different mode.
func parseFileMode(text string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || text[0] != '0' || n > uint64(fs.ModePerm) {
		return 0, errors.New("expected permission bits in octal with a leading zero, from 0000 to 0777")
	}
	return fs.FileMode(n), nil
}

func formatFileMode(m fs.FileMode) string { return fmt.Sprintf("%04o", uint32(m.Perm())) }

// parseList splits at commas; items lose the blanks around them, empty items
// are dropped. An empty list is nil.
func parseList(text string) ([]string, error) {
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.Trim(item, " \t"); item != "" {
			items = append(items, item)
		}
	}
	return items, nil
}

func formatList(items []string) string { return strings.Join(items, ", ") }

// parsePorts reads one port, or one for each host.
func parsePorts(text string) ([]int, error) {
	var ports []int
	for item := range strings.SplitSeq(text, ",") {
		port, err := parseInt(strings.Trim(item, " \t"), 1, 65535)
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}

func formatPorts(ports []int) string {
	texts := make([]string, len(ports))
	for i, port := range ports {
		texts[i] = strconv.Itoa(port)
	}
	return strings.Join(texts, ",")
}

// TLSProtocols is a contiguous range of TLS versions, in the numbers that
// crypto/tls uses. The zero value leaves the choice to crypto/tls.
type TLSProtocols struct {
	Min uint16 // least version offered
	Max uint16 // greatest version offered
}

// The TLS versions, as they appear on the wire.
const (
	tls10 uint16 = 0x0301
	tls13 uint16 = 0x0304
)

func tlsVersionNames() []string { return []string{"tlsv1.0", "tlsv1.1", "tlsv1.2", "tlsv1.3"} }

// String returns the versions as they are written in a configuration file.
func (p TLSProtocols) String() string {
	if p == secureProtocols() {
		return "secure"
	}
	if p.Min < tls10 || p.Max > tls13 || p.Min > p.Max {
		return "secure"
	}
	return strings.Join(tlsVersionNames()[p.Min-tls10:p.Max-tls10+1], ",")
}

func secureProtocols() TLSProtocols { return TLSProtocols{Min: tls13 - 1, Max: tls13} }

// parseProtocols reads a list of versions and of the words secure (1.2 and
// 1.3), all and legacy (every version); a leading ! takes away.
func parseProtocols(text string) (TLSProtocols, error) {
	var chosen [tls13 - tls10 + 1]bool
	for word := range strings.FieldsFuncSeq(strings.ToLower(text), func(r rune) bool { return strings.ContainsRune(",: \t", r) }) {
		name, without := strings.CutPrefix(word, "!")
		switch i := slices.Index(tlsVersionNames(), name); {
		case i >= 0:
			chosen[i] = !without
		case name == "tlsv1":
			chosen[0], chosen[1], chosen[2], chosen[3] = !without, !without, !without, !without
		case name == "secure" || name == "default":
			chosen[2], chosen[3] = !without, !without
		case name == "all" || name == "legacy":
			chosen[0], chosen[1], chosen[2], chosen[3] = !without, !without, !without, !without
		default:
			return TLSProtocols{}, errors.New("expected a list of tlsv1.0, tlsv1.1, tlsv1.2, tlsv1.3, or secure, or all")
		}
	}
	first := slices.Index(chosen[:], true)
	if first < 0 {
		return TLSProtocols{}, errors.New("expected at least one TLS version")
	}
	last := first
	for last+1 < len(chosen) && chosen[last+1] {
		last++
	}
	if slices.Contains(chosen[last+1:], true) {
		return TLSProtocols{}, errors.New("expected TLS versions without a gap between them")
	}
	return TLSProtocols{Min: tls10 + uint16(first), Max: tls10 + uint16(last)}, nil
}
