package workload

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

// value is what a variable of a script holds: an integer, a number with a fraction, or a truth. The zero value is the integer
// 0.
type value struct {
	kind    kind
	integer int64
	real    float64
	truth   bool
}

type kind int

const (
	integer kind = iota
	real
	truth
)

func (k kind) String() string {
	return [...]string{"an integer", "a number with a fraction", "a truth"}[k]
}

// Mistakes in reckoning, by pgbench's rules: integers never wrap around.
var (
	errOutOfRange     = errors.New("the number is out of the range of 64 bits")
	errDivisionByZero = errors.New("division by zero")
)

func integerValue(n int64) value { return value{kind: integer, integer: n} }
func realValue(f float64) value  { return value{kind: real, real: f} }
func truthValue(b bool) value    { return value{kind: truth, truth: b} }

// String is the value as it is sent to Postgres.
func (v value) String() string {
	switch v.kind {
	case truth:
		return strconv.FormatBool(v.truth)
	case real:
		return strconv.FormatFloat(v.real, 'g', 15, 64)
	}
	return strconv.FormatInt(v.integer, 10)
}

// asInteger rounds a number with a fraction to the next integer, halves to the even one.
func (v value) asInteger() (int64, error) {
	switch v.kind {
	case truth:
		return 0, fmt.Errorf("a number is needed, not %s", v.kind)
	case real:
		rounded := math.RoundToEven(v.real)
		if !(rounded >= -(1<<63) && rounded < 1<<63) { // so that what isn't a number is caught too
			return 0, errOutOfRange
		}
		return int64(rounded), nil
	}
	return v.integer, nil
}

func (v value) asReal() (float64, error) {
	switch v.kind {
	case truth:
		return 0, fmt.Errorf("a number is needed, not %s", v.kind)
	case real:
		return v.real, nil
	}
	return float64(v.integer), nil
}

// asTruth is strict: a number is no truth to AND, OR and NOT.
func (v value) asTruth() (bool, error) {
	if v.kind != truth {
		return false, fmt.Errorf("a truth is needed, not %s", v.kind)
	}
	return v.truth, nil
}

// holds is how \if and WHEN read a value: a number holds unless it is 0.
func (v value) holds() bool {
	return v.truth || v.integer != 0 || v.real != 0
}

func add(a, b int64) (int64, error) {
	sum := a + b
	if (a < 0) == (b < 0) && (sum < 0) != (a < 0) {
		return 0, errOutOfRange
	}
	return sum, nil
}

func subtract(a, b int64) (int64, error) {
	difference := a - b
	if (a < 0) != (b < 0) && (difference < 0) != (a < 0) {
		return 0, errOutOfRange
	}
	return difference, nil
}

func multiply(a, b int64) (int64, error) {
	if a == 0 || b == 0 {
		return 0, nil
	}
	product := a * b
	if product/b != a || a == -1 && b == math.MinInt64 || b == -1 && a == math.MinInt64 {
		return 0, errOutOfRange
	}
	return product, nil
}

// divide cuts the fraction off.
func divide(a, b int64) (int64, error) {
	if b == 0 {
		return 0, errDivisionByZero
	}
	if a == math.MinInt64 && b == -1 {
		return 0, errOutOfRange
	}
	return a / b, nil
}

// remainder has the sign of a.
func remainder(a, b int64) (int64, error) {
	if b == 0 {
		return 0, errDivisionByZero
	}
	return a % b, nil
}
