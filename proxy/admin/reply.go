package admin

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"carpool/config"
	"carpool/proxy/wire"
)

// SQLSTATEs of the console's errors.
const (
	codeSyntax          = "42601"
	codePrivilege       = "42501"
	codeNotSupported    = "0A000"
	codeSuccess         = "00000"
	codeProtocol        = "08P01"
	codeUnknown         = "26000" // prepared statement
	codeDuplicate       = "42P05" // prepared statement
	codeNoPortal        = "34000"
	codeDuplicatePortal = "42P03"
	codeTooMany         = "53400"
	codeNoDatabase      = "3D000"
	codeState           = "55000" // not in a state in which this can be done
	codeCanceled        = "57014"
	codeValue           = "22023"
	codeConfig          = "F0000"
	codeNoObject        = "42704"
)

func errorReport(code, message string) wire.Report {
	return wire.Report{Severity: "ERROR", Code: code, Message: message}
}

func invalidCommand(sql string) wire.Report {
	return errorReport(codeSyntax, fmt.Sprintf("invalid command '%s', use SHOW HELP;", printable(sql)))
}

// noSetting is what SET of a name is told that no setting has.
func noSetting(name string) wire.Report {
	r := errorReport(codeNoObject, "no such setting: "+printable(name))
	r.Hint = "SHOW CONFIG has them all."
	var known []string
	for _, s := range config.Settings() {
		known = append(known, s.Name)
	}
	if near, ok := config.Nearest(name, known); ok {
		r.Hint = "Did you mean " + near + "?"
	}
	return r
}

func adminNeeded() wire.Report {
	r := errorReport(codePrivilege, "admin access needed")
	r.Hint = "Users in admin_users may do this; users in stats_users may only SHOW."
	return r
}

func notice(message string) wire.Report {
	return wire.Report{Severity: "NOTICE", Code: codeSuccess, Message: message}
}

// printable cuts what a client sent to a length that is fit for a message, and
// replaces what would spoil a terminal.
func printable(text string) string { return printableUpTo(text, 100) }

func printableUpTo(text string, longest int) string {
	text = strings.ToValidUTF8(strings.TrimSpace(text), "?")
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, text)
}

// columnType is the type of a result's column, as Postgres numbers them.
type columnType uint32

const (
	typeInt8    columnType = 20
	typeInt4    columnType = 23
	typeText    columnType = 25
	typeNumeric columnType = 1700
)

// size is a value's length in bytes, -1 where it varies.
func (t columnType) size() int16 {
	switch t {
	case typeInt8:
		return 8
	case typeInt4:
		return 4
	default:
		return -1
	}
}

type column struct {
	name string
	kind columnType
}

// columns makes columns of one type from names separated by blanks.
func columns(kind columnType, names string) []column {
	var list []column
	for name := range strings.FieldsSeq(names) {
		list = append(list, column{name, kind})
	}
	return list
}

// cell is one value of a row. The zero cell is NULL.
type cell struct {
	text  string
	given bool
}

func text(s string) cell { return cell{strings.ToValidUTF8(s, "?"), true} }

func number[N int | int64](n N) cell { return cell{strconv.FormatInt(int64(n), 10), true} }

// small is a number as large as a column of int4 holds.
func small[N int | int64](n N) cell {
	return number(max(min(int64(n), math.MaxInt32), math.MinInt32))
}

// optional is NULL for the empty text.
func optional(s string) cell {
	if s == "" {
		return cell{}
	}
	return text(s)
}

// flag is 1 or 0.
func flag(v bool) cell {
	if v {
		return number(1)
	}
	return number(0)
}

// Formats of columns.
const (
	formatText   = 0
	formatBinary = 1
)

// result is what came of a command.
type result struct {
	notices []wire.Report
	rows    [][]cell
	tag     string       // "" for an empty command
	failure *wire.Report // in place of rows and tag
}

func done(tag string, notices ...wire.Report) result { return result{tag: tag, notices: notices} }

func failed(r wire.Report) result { return result{failure: &r} }

// appendRows appends the rows, at most limit of them if that isn't 0, and how the
// command ended. What is left is returned.
func (r *result) appendRows(dst []byte, cols []column, formats []uint16, limit int) (out []byte, left [][]cell) {
	if r.failure != nil {
		return wire.AppendError(dst, *r.failure), nil
	}
	if r.tag == "" {
		return wire.AppendEmpty(dst, wire.EmptyQueryResponse), nil
	}
	rows := r.rows
	if limit > 0 && limit < len(rows) {
		rows, left = rows[:limit], rows[limit:]
	}
	for _, row := range rows {
		dst = appendRow(dst, cols, formats, row)
	}
	if left != nil {
		return wire.AppendEmpty(dst, wire.PortalSuspended), left
	}
	return appendComplete(dst, r.tag), nil
}

func appendNotices(dst []byte, notices []wire.Report) []byte {
	for _, n := range notices {
		dst = wire.AppendNotice(dst, n)
	}
	return dst
}

// appendDescription appends a description of columns, in text format unless
// formats says otherwise.
func appendDescription(dst []byte, cols []column, formats []uint16) []byte {
	dst, mark := wire.Begin(dst, wire.RowDescription)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(cols)))
	for i, c := range cols {
		dst = wire.AppendString(dst, c.name)
		dst = binary.BigEndian.AppendUint32(dst, 0) // table
		dst = binary.BigEndian.AppendUint16(dst, 0) // its column
		dst = binary.BigEndian.AppendUint32(dst, uint32(c.kind))
		dst = binary.BigEndian.AppendUint16(dst, uint16(c.kind.size()))
		dst = binary.BigEndian.AppendUint32(dst, 1<<32-1) // no type modifier
		format := uint16(formatText)
		if formats != nil {
			format = formats[i]
		}
		dst = binary.BigEndian.AppendUint16(dst, format)
	}
	return wire.Finish(dst, mark)
}

func appendRow(dst []byte, cols []column, formats []uint16, row []cell) []byte {
	dst, mark := wire.Begin(dst, wire.DataRow)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(row)))
	for i, c := range row {
		if !c.given {
			dst = binary.BigEndian.AppendUint32(dst, 1<<32-1)
			continue
		}
		length := len(dst)
		dst = binary.BigEndian.AppendUint32(dst, 0)
		if formats != nil && formats[i] == formatBinary {
			dst = appendBinary(dst, cols[i].kind, c.text)
		} else {
			dst = append(dst, c.text...)
		}
		binary.BigEndian.PutUint32(dst[length:], uint32(len(dst)-length-4))
	}
	return wire.Finish(dst, mark)
}

// appendBinary appends a value in the type's binary format.
func appendBinary(dst []byte, kind columnType, text string) []byte {
	if kind == typeText {
		return append(dst, text...)
	}
	n, _ := strconv.ParseInt(text, 10, 64) // it was printed by number
	switch kind {
	case typeInt4:
		return binary.BigEndian.AppendUint32(dst, uint32(n))
	case typeInt8:
		return binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	return appendNumeric(dst, n)
}

// appendNumeric appends a whole number as Postgres's numeric: the digits to the
// base of 10,000, the place of the first, the sign and the decimal places.
func appendNumeric(dst []byte, n int64) []byte {
	sign, rest := uint16(0), uint64(n)
	if n < 0 {
		sign, rest = 0x4000, -rest
	}
	var digits []uint16
	for ; rest > 0; rest /= 10000 {
		digits = append(digits, uint16(rest%10000))
	}
	weight := max(len(digits)-1, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(digits)))
	dst = binary.BigEndian.AppendUint16(dst, uint16(weight))
	dst = binary.BigEndian.AppendUint16(dst, sign)
	dst = binary.BigEndian.AppendUint16(dst, 0)
	for _, d := range slices.Backward(digits) {
		dst = binary.BigEndian.AppendUint16(dst, d)
	}
	return dst
}

func appendComplete(dst []byte, tag string) []byte {
	return wire.AppendString(wire.AppendHeader(dst, wire.CommandComplete, len(tag)+1), tag)
}
