package wire

// Report is the content of an ErrorResponse or NoticeResponse: the fields a
// pooler reads or writes. See "Error and Notice Message Fields".
type Report struct {
	Severity string // FATAL, ERROR, NOTICE ...: never translated
	Code     string // SQLSTATE, five characters
	Message  string
	Detail   string
	Hint     string
	Routine  string // of the server's source that reports; never translated
}

// MaxReport is the number of bytes of an error or notice that are looked at;
// what a server writes beyond it is forwarded but not read.
const MaxReport = 16 << 10

// AppendError appends r as an ErrorResponse.
func AppendError(dst []byte, r Report) []byte { return appendReport(dst, ErrorResponse, r) }

// AppendNotice appends r as a NoticeResponse.
func AppendNotice(dst []byte, r Report) []byte { return appendReport(dst, NoticeResponse, r) }

func appendReport(dst []byte, typ byte, r Report) []byte {
	dst, mark := Begin(dst, typ)
	field := func(code byte, s string) {
		if s != "" {
			dst = AppendString(append(dst, code), clean(s))
		}
	}
	field('S', r.Severity)
	field('V', r.Severity)
	field('C', r.Code)
	field('M', r.Message)
	field('D', r.Detail)
	field('H', r.Hint)
	field('R', r.Routine)
	return Finish(append(dst, 0), mark)
}

// clean cuts s at a zero byte, which would end the field early on the wire.
func clean(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] == 0 {
			return s[:i]
		}
	}
	return s
}

// ParseReport reads the body of an ErrorResponse or NoticeResponse. Whatever
// is missing stays empty and a cut-off body yields what came before the cut:
// a server's error may lack any field, even its SQLSTATE. At most MaxReport
// bytes are read.
func ParseReport(body []byte) Report {
	var r Report
	localized := ""
	c := Cursor{Rest: body[:min(len(body), MaxReport)]}
	for {
		code, ok := c.Byte()
		if !ok || code == 0 {
			break
		}
		s, ok := c.String()
		if !ok {
			break
		}
		switch code {
		case 'S':
			localized = string(s)
		case 'V':
			r.Severity = string(s)
		case 'C':
			r.Code = string(s)
		case 'M':
			r.Message = string(s)
		case 'D':
			r.Detail = string(s)
		case 'H':
			r.Hint = string(s)
		case 'R':
			r.Routine = string(s)
		}
	}
	if r.Severity == "" {
		r.Severity = localized // servers before 9.6
	}
	return r
}
