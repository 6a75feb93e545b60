package workload

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// maxDepth bounds how many parentheses, calls, signs and \if are inside of each other, so that a hostile script doesn't end
// the stack.
const maxDepth = 100

// Precedences, lowest first: Postgres's.
const (
	orPrecedence = iota + 1
	andPrecedence
	notPrecedence
	comparisonPrecedence
	bitPrecedence
	sumPrecedence
	productPrecedence
)

// precedence is that of an operator with two sides, 0 for what is none.
func precedence(t token) int {
	switch strings.ToLower(t.text) {
	case "or":
		return orPrecedence
	case "and":
		return andPrecedence
	case "<", ">", "=", "<=", ">=", "<>", "!=":
		return comparisonPrecedence
	case "|", "#", "&", "<<", ">>":
		return bitPrecedence
	case "+", "-":
		return sumPrecedence
	case "*", "/", "%":
		return productPrecedence
	}
	return 0
}

// expressionParser reads one expression. variables gives a name its number.
type expressionParser struct {
	tokens    []token
	variables func(name string) (int, error)
	depth     int
}

// parseExpression reads an expression to its end.
func parseExpression(text string, variables func(name string) (int, error)) (expression, error) {
	tokens, err := tokenize(text)
	if err != nil {
		return nil, err
	}
	if len(tokens) == 0 {
		return nil, errors.New("an expression is missing")
	}
	p := &expressionParser{tokens: tokens, variables: variables}
	e, err := p.binary(orPrecedence)
	if err != nil {
		return nil, err
	}
	if rest := p.peek(); rest.kind != end {
		return nil, p.unexpected(rest)
	}
	return e, nil
}

func (p *expressionParser) peek() token {
	if len(p.tokens) == 0 {
		return token{}
	}
	return p.tokens[0]
}

func (p *expressionParser) next() token {
	t := p.peek()
	if t.kind != end {
		p.tokens = p.tokens[1:]
	}
	return t
}

// takes goes past a word or operator if it comes next.
func (p *expressionParser) takes(text string) bool {
	if t := p.peek(); t.kind == end || !strings.EqualFold(t.text, text) {
		return false
	}
	p.next()
	return true
}

func (p *expressionParser) unexpected(t token) error {
	if t.kind == end {
		return errors.New("the expression ends too early")
	}
	switch strings.ToLower(t.text) {
	case "null", "is", "isnull", "notnull":
		return errors.New("NULL isn't supported")
	}
	return fmt.Errorf("unexpected %q", legible([]byte(t.text), longestColumn))
}

// binary reads operands and the operators between them that bind at least as strongly as lowest.
func (p *expressionParser) binary(lowest int) (expression, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, fmt.Errorf("an expression more than %d levels deep", maxDepth)
	}
	defer func() { p.depth-- }()
	left, err := p.prefixed()
	if err != nil {
		return nil, err
	}
	for compared := false; ; {
		t := p.peek()
		strength := precedence(t)
		if strength < lowest || strength == 0 {
			return left, nil
		}
		if strength == comparisonPrecedence {
			if compared {
				return nil, fmt.Errorf("comparisons one after another at %q: parentheses are missing", t.text)
			}
			compared = true
		}
		p.next()
		right, err := p.binary(strength + 1)
		if err != nil {
			return nil, err
		}
		switch strength {
		case orPrecedence, andPrecedence:
			left = connective{decisive: strength == orPrecedence, left: left, right: right}
		default:
			left = application{function: operator(strings.Replace(t.text, "!=", "<>", 1)), arguments: []expression{left, right}}
		}
	}
}

// prefixed reads an operand with the operators before it.
func (p *expressionParser) prefixed() (expression, error) {
	var sign function
	lowest := productPrecedence + 1
	switch {
	case p.takes("+"):
		return p.binary(lowest)
	case p.takes("-"):
		if p.takes(leastIntegerDigits) {
			return constant(integerValue(math.MinInt64)), nil
		}
		sign = negative
	case p.takes("~"):
		sign, lowest = complement, sumPrecedence
	case p.takes("not"):
		sign, lowest = negation, notPrecedence
	default:
		return p.operand()
	}
	of, err := p.binary(lowest)
	if err != nil {
		return nil, err
	}
	return application{function: sign, arguments: []expression{of}}, nil
}

// leastIntegerDigits are those of the least integer, which isn't the negative of another one.
const leastIntegerDigits = "9223372036854775808"

func (p *expressionParser) operand() (expression, error) {
	t := p.next()
	switch t.kind {
	case number:
		return parseNumber(t.text)
	case colonName:
		n, err := p.variables(t.text[1:])
		if err != nil {
			return nil, err
		}
		return reference{name: t.text[1:], number: n}, nil
	case symbol:
		if t.text != "(" {
			return nil, p.unexpected(t)
		}
		inner, err := p.binary(orPrecedence)
		if err != nil {
			return nil, err
		}
		return inner, p.need(")")
	case name:
		switch strings.ToLower(t.text) {
		case "true", "false":
			return constant(truthValue(strings.EqualFold(t.text, "true"))), nil
		case "case":
			return p.choice()
		}
		if p.takes("(") {
			return p.call(t.text)
		}
	case end:
	}
	return nil, p.unexpected(t)
}

func parseNumber(text string) (expression, error) {
	if digitsLength(text) == len(text) {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", legible([]byte(text), longestColumn), errOutOfRange)
		}
		return constant(integerValue(n)), nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, fmt.Errorf("%s is no number that can be held", legible([]byte(text), longestColumn))
	}
	return constant(realValue(f)), nil
}

func (p *expressionParser) need(text string) error {
	if p.takes(text) {
		return nil
	}
	if t := p.peek(); t.kind != end {
		return fmt.Errorf("%w where %q is needed", p.unexpected(t), text)
	}
	return fmt.Errorf("%q is missing at the end", text)
}

// call reads the arguments of a function, from behind the opening parenthesis.
func (p *expressionParser) call(written string) (expression, error) {
	f, known := functionNamed(strings.ToLower(written))
	if !known {
		return nil, fmt.Errorf("function %s isn't supported", legible([]byte(written), longestColumn))
	}
	var arguments []expression
	for !p.takes(")") {
		if len(arguments) > 0 {
			if err := p.need(","); err != nil {
				return nil, err
			}
		}
		argument, err := p.binary(orPrecedence)
		if err != nil {
			return nil, err
		}
		arguments = append(arguments, argument)
	}
	switch n := len(arguments); {
	case n >= f.least && n <= f.most:
		return application{function: f, arguments: arguments}, nil
	case f.least == f.most:
		return nil, fmt.Errorf("function %s has %d arguments where it takes %d", f.name, n, f.least)
	default:
		return nil, fmt.Errorf("function %s has %d arguments where it takes %d to %d", f.name, n, f.least, f.most)
	}
}

// choice reads CASE from behind that word.
func (p *expressionParser) choice() (expression, error) {
	var c choice
	for p.takes("when") {
		condition, err := p.binary(orPrecedence)
		if err != nil {
			return nil, err
		}
		if err := p.need("then"); err != nil {
			return nil, err
		}
		v, err := p.binary(orPrecedence)
		if err != nil {
			return nil, err
		}
		c.conditions, c.values = append(c.conditions, condition), append(c.values, v)
	}
	if len(c.conditions) == 0 {
		return nil, p.need("when")
	}
	if p.takes("else") {
		otherwise, err := p.binary(orPrecedence)
		if err != nil {
			return nil, err
		}
		c.otherwise = otherwise
	}
	return c, p.need("end")
}
