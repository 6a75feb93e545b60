package admin

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"carpool/proxy/wire"
)

// SQLSTATEs of the console's errors.
const (
	codeSyntax       = "42601"
	codePrivilege    = "42501"
	codeNotSupported = "0A000"
	codeSuccess      = "00000"
)

func errorReport(code, message string) wire.Report {
	return wire.Report{Severity: "ERROR", Code: code, Message: message}
}

func invalidCommand(sql string) wire.Report {
	return errorReport(codeSyntax, fmt.Sprintf("invalid command '%s', use SHOW HELP;", printable(sql)))
}

func notBuilt(what string) wire.Report {
	return errorReport(codeNotSupported, what+" isn't built yet")
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
func printable(text string) string {
	const longest = 100
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

// appendTable appends a whole result: its description, its rows, and the
// command's completion.
func appendTable(dst []byte, tag string, cols []column, rows [][]cell) []byte {
	dst = appendDescription(dst, cols)
	for _, row := range rows {
		dst = appendRow(dst, row)
	}
	return appendComplete(dst, tag)
}

func appendDescription(dst []byte, cols []column) []byte {
	dst, mark := wire.Begin(dst, wire.RowDescription)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(cols)))
	for _, c := range cols {
		dst = wire.AppendString(dst, c.name)
		dst = binary.BigEndian.AppendUint32(dst, 0) // table
		dst = binary.BigEndian.AppendUint16(dst, 0) // its column
		dst = binary.BigEndian.AppendUint32(dst, uint32(c.kind))
		dst = binary.BigEndian.AppendUint16(dst, uint16(c.kind.size()))
		dst = binary.BigEndian.AppendUint32(dst, 1<<32-1) // no type modifier
		dst = binary.BigEndian.AppendUint16(dst, 0)       // text format
	}
	return wire.Finish(dst, mark)
}

func appendRow(dst []byte, row []cell) []byte {
	dst, mark := wire.Begin(dst, wire.DataRow)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(row)))
	for _, c := range row {
		if !c.given {
			dst = binary.BigEndian.AppendUint32(dst, 1<<32-1)
			continue
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(c.text)))
		dst = append(dst, c.text...)
	}
	return wire.Finish(dst, mark)
}

func appendComplete(dst []byte, tag string) []byte {
	return wire.AppendString(wire.AppendHeader(dst, wire.CommandComplete, len(tag)+1), tag)
}
