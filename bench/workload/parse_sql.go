package workload

import (
	"fmt"
	"strings"
)

// sqlReader reads one SQL command of a script and puts parameters in the place of variables.
type sqlReader struct {
	parser     *scriptParser
	began      int // line
	sql        strings.Builder
	parameters []int
	quoted     bool // a $ before a digit stands where it is no parameter
	first      string
	words      map[string]bool // that matter; lower case
	parens     int
	brackets   int
}

// command reads a SQL command up to its semicolon or the end of the script.
func (p *scriptParser) command() error {
	r := &sqlReader{parser: p, began: p.line, words: make(map[string]bool)}
	for p.at < len(p.text) {
		done, err := r.read()
		if err != nil {
			return err
		}
		if done {
			break
		}
	}
	sql := strings.TrimSpace(r.sql.String())
	if isComments(sql) {
		return nil
	}
	if r.first == "copy" && (r.words["stdin"] || r.words["stdout"]) {
		return p.errorf(r.began, "COPY from or to the client isn't supported")
	}
	if r.quoted && len(r.parameters) > 0 {
		return p.errorf(r.began, "a $ before a digit within quotes or a comment, in a command that has variables")
	}
	name := fmt.Sprintf("script_%d", len(p.steps)+1)
	p.steps = append(p.steps, step{
		line: r.began, action: send, statement: Statement{Name: name, SQL: sql, Bare: true}, parameters: r.parameters,
	})
	return nil
}

// isComments says whether there is nothing but block comments, or nothing at all.
func isComments(sql string) bool {
	for sql != "" {
		n := commentLength(sql)
		if n <= 0 {
			return false
		}
		sql = strings.TrimSpace(sql[n:])
	}
	return true
}

// read takes in one lexical element, or one byte of what needs no attention. It says whether the command is over.
func (r *sqlReader) read() (done bool, err error) {
	p := r.parser
	rest := p.text[p.at:]
	switch c := rest[0]; {
	case c == ';' && r.parens <= 0:
		p.at++
		return true, nil
	case c == '\\':
		if strings.HasPrefix(rest, "\\;") {
			return false, p.errorf(p.line, "\\; isn't supported: end each command with a semicolon")
		}
		if word, _ := cutWord(rest[1:lineLength(rest)]); isUnsupported(word) { // \gset takes the place of the semicolon
			return false, p.errorf(p.line, "\\%s isn't supported", word)
		}
		return false, p.errorf(p.line, "a meta command inside of the SQL command that began on line %d: a semicolon is missing before it", r.began)
	case strings.HasPrefix(rest, "--"):
		p.at += lineLength(rest)
	case strings.HasPrefix(rest, "/*"):
		return false, r.keep(commentLength(rest), "comment")
	case c == '\'':
		return false, r.keep(quoteLength(rest, c, r.escapes()), "string")
	case c == '"':
		return false, r.keep(quoteLength(rest, c, false), "quoted name")
	case c == '$':
		return false, r.dollar(rest)
	case startsName(c):
		r.word(rest)
	case strings.HasPrefix(rest, "::"), strings.HasPrefix(rest, ":="):
		r.take(2)
	case c == ':' && len(rest) > 1 && startsName(rest[1]):
		return false, r.variable(rest)
	default:
		r.count(c)
		r.take(1)
	}
	return false, nil
}

// take copies n bytes as they are.
func (r *sqlReader) take(n int) {
	p := r.parser
	text := p.text[p.at : p.at+n]
	r.sql.WriteString(text)
	p.line += strings.Count(text, "\n")
	p.at += n
}

// keep is take for what no variables are looked for in. A length of 0 is that of something without an end.
func (r *sqlReader) keep(n int, what string) error {
	p := r.parser
	if n <= 0 {
		return p.errorf(p.line, "a %s without an end", what)
	}
	if text := p.text[p.at : p.at+n]; !r.quoted {
		for i := 0; i+1 < len(text); i++ {
			r.quoted = r.quoted || text[i] == '$' && isDigit(text[i+1])
		}
	}
	r.take(n)
	return nil
}

func (r *sqlReader) count(c byte) {
	switch c {
	case '(':
		r.parens++
	case ')':
		r.parens--
	case '[':
		r.brackets++
	case ']':
		r.brackets--
	}
}

// word takes a keyword or name, with the dollar signs and digits in it.
func (r *sqlReader) word(rest string) {
	n := 0
	for n < len(rest) && (startsName(rest[n]) || isDigit(rest[n]) || rest[n] == '$') {
		n++
	}
	word := strings.ToLower(rest[:n])
	if r.first == "" {
		r.first = word
	}
	if word == "stdin" || word == "stdout" {
		r.words[word] = true
	}
	for i := 0; i+1 < n; i++ {
		r.quoted = r.quoted || rest[i] == '$' && isDigit(rest[i+1])
	}
	r.take(n)
}

// escapes says whether the quote that comes next has an E before it, and so backslashes that mean something.
func (r *sqlReader) escapes() bool {
	before := r.parser.text[:r.parser.at]
	n := len(before)
	if n == 0 || before[n-1] != 'e' && before[n-1] != 'E' {
		return false
	}
	return n == 1 || !(startsName(before[n-2]) || isDigit(before[n-2]) || before[n-2] == '$')
}

// dollar takes a dollar quote, or refuses a parameter that the script has written itself.
func (r *sqlReader) dollar(rest string) error {
	if len(rest) > 1 && isDigit(rest[1]) {
		return r.parser.errorf(r.parser.line, "a parameter %s: write a variable, as in :name", rest[:1+digitsLength(rest[1:])])
	}
	tag := 1
	if tag < len(rest) && startsName(rest[tag]) {
		tag += nameLength(rest[tag:])
	}
	if tag == len(rest) || rest[tag] != '$' {
		r.take(1)
		return nil
	}
	tag++
	closing := strings.Index(rest[tag:], rest[:tag])
	if closing < 0 {
		return r.keep(0, "string in dollar quotes")
	}
	return r.keep(tag+closing+tag, "")
}

// variable puts a parameter in the place of :name.
func (r *sqlReader) variable(rest string) error {
	p := r.parser
	n := 1 + nameLength(rest[1:])
	before := byte(' ')
	if p.at > 0 {
		before = p.text[p.at-1]
	}
	glued := startsName(before) || isDigit(before) || strings.IndexByte(`$."'`, before) >= 0
	switch {
	case r.brackets > 0 && (glued || before == ']' || before == ')'): // the upper bound of a slice
		r.take(n)
		return nil
	case glued:
		return p.errorf(p.line, "%s directly behind %q: a variable's value can't be part of a name or number", rest[:n], before)
	case len(r.parameters) == maxParameters:
		return p.errorf(r.began, "a command with more than %d variables", maxParameters)
	}
	number, err := p.use(rest[1:n])
	if err != nil {
		return err
	}
	r.parameters = append(r.parameters, number)
	if strings.IndexByte("+-*/<>=~!@#%^&|`?", before) >= 0 { // else the sign of a negative value would become a part of it
		r.sql.WriteByte(' ')
	}
	fmt.Fprintf(&r.sql, "$%d", len(r.parameters))
	p.at += n
	return nil
}

// quoteLength is that of the quoted text that rest begins with, 0 if it has no end. The quote itself is doubled inside.
func quoteLength(rest string, quote byte, escapes bool) int {
	for i := 1; i < len(rest); i++ {
		switch {
		case rest[i] == '\\' && escapes:
			i++
		case rest[i] != quote:
		case i+1 < len(rest) && rest[i+1] == quote:
			i++
		default:
			return i + 1
		}
	}
	return 0
}

// commentLength is that of the block comment that rest begins with, with those inside of it; 0 if it has no end or is none.
func commentLength(rest string) int {
	depth := 0
	for i := 0; i+1 < len(rest); i++ {
		switch rest[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
		}
		if depth == 0 {
			if i == 0 {
				return 0
			}
			return i + 1
		}
	}
	return 0
}
