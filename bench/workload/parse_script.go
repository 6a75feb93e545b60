package workload

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of a script.
const (
	maxScript     = 1 << 20
	maxSteps      = 10_000
	maxParameters = 9 // of a statement, as Statement says
	longestPause  = 24 * time.Hour
)

// scriptParser reads a script once, from its beginning to its end.
type scriptParser struct {
	script string // its name
	text   string
	at     int // what of the text has been read
	line   int // that at is on, from 1

	steps   []step
	names   []string       // of the variables
	numbers map[string]int // of the variables
	used    map[string]int // the line on which a variable is used first
	set     map[string]bool
	open    []conditional
}

// conditional is an \if whose \endif hasn't come.
type conditional struct {
	line    int
	branch  int   // the step that goes on with the next \elif, \else or \endif; -1 behind \else
	leaving []int // jumps from the ends of the parts to \endif
}

func newScriptParser(name, text string) *scriptParser {
	p := &scriptParser{
		script: name, text: text, line: 1,
		numbers: make(map[string]int), used: make(map[string]int), set: make(map[string]bool),
	}
	for _, automatic := range automaticNames {
		p.number(automatic)
		p.set[automatic] = true
	}
	return p
}

func (p *scriptParser) errorf(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", p.script, line, fmt.Errorf(format, args...))
}

// number is that of a variable, a new one if the name is new.
func (p *scriptParser) number(name string) int {
	n, known := p.numbers[name]
	if !known {
		n = len(p.names)
		p.numbers[name] = n
		p.names = append(p.names, name)
	}
	return n
}

// use is number for a variable whose value is needed.
func (p *scriptParser) use(name string) (int, error) {
	if _, known := p.used[name]; !known {
		p.used[name] = p.line
	}
	return p.number(name), nil
}

func (p *scriptParser) parse() error {
	if i := strings.IndexByte(p.text, 0); i >= 0 {
		return p.errorf(1+strings.Count(p.text[:i], "\n"), "a NUL byte")
	}
	for {
		p.skipBlank()
		if p.at == len(p.text) {
			break
		}
		if len(p.steps) >= maxSteps {
			return p.errorf(p.line, "more than %d commands", maxSteps)
		}
		var err error
		if p.text[p.at] == '\\' {
			err = p.metaCommand()
		} else {
			err = p.command()
		}
		if err != nil {
			return err
		}
	}
	if n := len(p.open); n > 0 {
		return p.errorf(p.open[n-1].line, "\\if without \\endif")
	}
	if !slices.ContainsFunc(p.steps, func(s step) bool { return s.action == send }) {
		return p.errorf(p.line, "a script without any SQL command")
	}
	for _, name := range p.names { // in order, so that the error is always the same
		if line, used := p.used[name]; used && !p.set[name] {
			return p.errorf(line, "variable %s is set nowhere", legible([]byte(name), longestColumn))
		}
	}
	return nil
}

// skipBlank goes to the next thing that is neither white space nor a comment of --.
func (p *scriptParser) skipBlank() {
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '\n':
			p.line++
			p.at++
		case strings.IndexByte(" \t\r\f\v", c) >= 0:
			p.at++
		case strings.HasPrefix(p.text[p.at:], "--"):
			p.at += lineLength(p.text[p.at:])
		default:
			return
		}
	}
}

// lineLength is that of the first line, without its end.
func lineLength(text string) int {
	if n := strings.IndexByte(text, '\n'); n >= 0 {
		return n
	}
	return len(text)
}

// metaCommand reads one line that begins with a backslash, and those that continue it.
func (p *scriptParser) metaCommand() error {
	var text strings.Builder
	began := p.line
	for {
		line := p.text[p.at : p.at+lineLength(p.text[p.at:])]
		p.at += len(line)
		more, continued := strings.CutSuffix(strings.TrimSuffix(line, "\r"), "\\")
		text.WriteString(more)
		if !continued || p.at == len(p.text) {
			break
		}
		text.WriteByte(' ')
		p.at++
		p.line++
	}
	word, rest := cutWord(strings.TrimPrefix(text.String(), "\\"))
	ended := p.line
	p.line = began // where errors and uses are
	err := p.perform(word, rest)
	p.line = ended
	return err
}

// cutWord is the first word of text, and what follows it.
func cutWord(text string) (word, rest string) {
	text = strings.TrimSpace(text)
	if i := strings.IndexAny(text, " \t\r\f\v"); i >= 0 {
		return text[:i], strings.TrimSpace(text[i:])
	}
	return text, ""
}

// perform takes in one meta command.
func (p *scriptParser) perform(word, rest string) error {
	switch word {
	case "set":
		return p.assignment(rest)
	case "sleep":
		return p.sleep(rest)
	case "if", "elif":
		condition, err := parseExpression(rest, p.use)
		if err != nil {
			return p.errorf(p.line, "\\%s: %w", word, err)
		}
		return p.condition(word, condition)
	case "else", "endif":
		if rest != "" {
			return p.errorf(p.line, "\\%s takes nothing behind it", word)
		}
		return p.condition(word, nil)
	}
	if isUnsupported(word) {
		return p.errorf(p.line, "\\%s isn't supported", word)
	}
	return p.errorf(p.line, "no meta command is called \\%s (there are \\set, \\sleep, \\if, \\elif, \\else, \\endif)", legible([]byte(word), longestColumn))
}

// isUnsupported tells whether pgbench has a meta command of this name that we don't have.
func isUnsupported(word string) bool {
	switch word {
	case "gset", "aset", "setshell", "shell", "startpipeline", "syncpipeline", "endpipeline":
		return true
	}
	return false
}

func (p *scriptParser) assignment(rest string) error {
	variable, text := cutWord(rest)
	if variable == "" {
		return p.errorf(p.line, "\\set needs a name and an expression")
	}
	if !startsName(variable[0]) || nameLength(variable) != len(variable) {
		return p.errorf(p.line, "%q can't be the name of a variable", legible([]byte(variable), longestColumn))
	}
	e, err := parseExpression(text, p.use)
	if err != nil {
		return p.errorf(p.line, "\\set %s: %w", legible([]byte(variable), longestColumn), err)
	}
	p.set[variable] = true
	p.steps = append(p.steps, step{line: p.line, action: assign, into: p.number(variable), name: variable, expression: e})
	return nil
}

func (p *scriptParser) sleep(rest string) error {
	length, unit := cutWord(rest)
	if digits := digitsLength(length); unit == "" && digits > 0 { // 10ms
		length, unit = length[:digits], length[digits:]
	}
	s := step{line: p.line, action: pause}
	switch unit {
	case "us":
		s.pause = time.Microsecond
	case "ms":
		s.pause = time.Millisecond
	case "s", "":
		s.pause = time.Second
	default:
		return p.errorf(p.line, "\\sleep: %q is no unit (there are us, ms and s)", legible([]byte(unit), longestColumn))
	}
	if name, isVariable := strings.CutPrefix(length, ":"); isVariable && name != "" && startsName(name[0]) && nameLength(name) == len(name) {
		number, err := p.use(name)
		if err != nil {
			return err
		}
		s.parameters = []int{number}
		p.steps = append(p.steps, s)
		return nil
	}
	if length == "" || digitsLength(length) != len(length) {
		return p.errorf(p.line, "\\sleep needs a whole number or a variable, and us, ms or s")
	}
	n, err := strconv.ParseInt(length, 10, 64)
	if err != nil || n > int64(longestPause/s.pause) {
		return p.errorf(p.line, "\\sleep: longer than %s", longestPause)
	}
	s.pause *= time.Duration(n)
	p.steps = append(p.steps, s)
	return nil
}

// condition makes branches and jumps of \if and what belongs to it.
func (p *scriptParser) condition(word string, e expression) error {
	if word == "if" {
		if len(p.open) == maxDepth {
			return p.errorf(p.line, "\\if more than %d levels deep", maxDepth)
		}
		p.open = append(p.open, conditional{line: p.line, branch: len(p.steps)})
		p.steps = append(p.steps, step{line: p.line, action: branch, expression: e})
		return nil
	}
	if len(p.open) == 0 {
		return p.errorf(p.line, "\\%s without \\if", word)
	}
	c := &p.open[len(p.open)-1]
	if word == "endif" {
		if c.branch >= 0 {
			p.steps[c.branch].target = len(p.steps)
		}
		for _, leave := range c.leaving {
			p.steps[leave].target = len(p.steps)
		}
		p.open = p.open[:len(p.open)-1]
		return nil
	}
	if c.branch < 0 {
		return p.errorf(p.line, "\\%s behind \\else", word)
	}
	c.leaving = append(c.leaving, len(p.steps))
	p.steps = append(p.steps, step{line: p.line, action: jump})
	p.steps[c.branch].target = len(p.steps)
	c.branch = -1
	if word == "elif" {
		c.branch = len(p.steps)
		p.steps = append(p.steps, step{line: p.line, action: branch, expression: e})
	}
	return nil
}
