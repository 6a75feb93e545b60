package workload

import (
	"errors"
	"fmt"
	"math"
)

// functionNamed is the function that scripts call by a name in lower case.
func functionNamed(name string) (function, bool) {
	one := func(compute func(*scope, []value) (value, error)) (function, bool) {
		return function{name: name, least: 1, most: 1, compute: compute}, true
	}
	two := func(compute func(*scope, []value) (value, error)) (function, bool) {
		return function{name: name, least: 2, most: 2, compute: compute}, true
	}
	switch name {
	case "abs":
		return one(absolute)
	case "int":
		return one(func(_ *scope, v []value) (value, error) { return integerOf(v[0].asInteger()) })
	case "double":
		return one(func(_ *scope, v []value) (value, error) { return realOf(v[0].asReal()) })
	case "sqrt":
		return one(onReal(math.Sqrt))
	case "ln":
		return one(onReal(math.Log))
	case "exp":
		return one(onReal(math.Exp))
	case "pi":
		return function{name: name, compute: func(*scope, []value) (value, error) { return realValue(math.Pi), nil }}, true
	case "mod":
		return two(onIntegers(remainder))
	case "pow", "power":
		return two(raise)
	case "greatest", "max":
		return function{name: name, least: 1, most: manyArguments, compute: extreme(func(a, b value) bool { return less(b, a) })}, true
	case "least", "min":
		return function{name: name, least: 1, most: manyArguments, compute: extreme(less)}, true
	case "random":
		return two(draw(uniform))
	case "random_exponential":
		return function{name: name, least: 3, most: 3, compute: draw(exponential)}, true
	case "random_gaussian":
		return function{name: name, least: 3, most: 3, compute: draw(gaussian)}, true
	case "random_zipfian":
		return function{name: name, least: 3, most: 3, compute: draw(zipfian)}, true
	}
	return function{}, false
}

// operator is the function of an operator with two sides.
func operator(symbol string) function {
	f := function{name: symbol, least: 2, most: 2}
	switch symbol {
	case "+":
		f.compute = onNumbers(add, func(a, b float64) float64 { return a + b })
	case "-":
		f.compute = onNumbers(subtract, func(a, b float64) float64 { return a - b })
	case "*":
		f.compute = onNumbers(multiply, func(a, b float64) float64 { return a * b })
	case "/":
		f.compute = onNumbers(divide, func(a, b float64) float64 { return a / b })
	case "%":
		f.compute = onIntegers(remainder)
	case "&":
		f.compute = onIntegers(func(a, b int64) (int64, error) { return a & b, nil })
	case "|":
		f.compute = onIntegers(func(a, b int64) (int64, error) { return a | b, nil })
	case "#":
		f.compute = onIntegers(func(a, b int64) (int64, error) { return a ^ b, nil })
	case "<<":
		f.compute = onIntegers(func(a, b int64) (int64, error) { return shifted(a, b, func(n uint) int64 { return a << n }) })
	case ">>":
		f.compute = onIntegers(func(a, b int64) (int64, error) { return shifted(a, b, func(n uint) int64 { return a >> n }) })
	case "=":
		f.compute = comparison(equal)
	case "<>":
		f.compute = comparison(func(a, b value) bool { return !equal(a, b) })
	case "<":
		f.compute = comparison(less)
	case "<=":
		f.compute = comparison(func(a, b value) bool { return less(a, b) || equal(a, b) })
	case ">":
		f.compute = comparison(func(a, b value) bool { return less(b, a) })
	case ">=":
		f.compute = comparison(func(a, b value) bool { return less(b, a) || equal(a, b) })
	}
	return f
}

// negation is NOT, negative the minus before a number, complement the ~ before it.
var (
	negation = function{name: "NOT", least: 1, most: 1, compute: func(_ *scope, v []value) (value, error) {
		holds, err := v[0].asTruth()
		return truthValue(!holds), err
	}}
	negative = function{name: "-", least: 1, most: 1, compute: func(_ *scope, v []value) (value, error) {
		if v[0].kind == integer {
			return integerOf(subtract(0, v[0].integer))
		}
		f, err := v[0].asReal()
		return realValue(-f), err
	}}
	complement = function{name: "~", least: 1, most: 1, compute: func(_ *scope, v []value) (value, error) {
		n, err := v[0].asInteger()
		return integerValue(^n), err
	}}
)

func integerOf(n int64, err error) (value, error) { return integerValue(n), err }
func realOf(f float64, err error) (value, error)  { return realValue(f), err }

func onReal(compute func(float64) float64) func(*scope, []value) (value, error) {
	return func(_ *scope, v []value) (value, error) {
		f, err := v[0].asReal()
		if err != nil {
			return value{}, err
		}
		return realValue(compute(f)), nil
	}
}

func onIntegers(compute func(a, b int64) (int64, error)) func(*scope, []value) (value, error) {
	return func(_ *scope, v []value) (value, error) {
		a, err := v[0].asInteger()
		if err != nil {
			return value{}, err
		}
		b, err := v[1].asInteger()
		if err != nil {
			return value{}, err
		}
		return integerOf(compute(a, b))
	}
}

// onNumbers computes with integers when both are, else with fractions.
func onNumbers(integers func(a, b int64) (int64, error), reals func(a, b float64) float64) func(*scope, []value) (value, error) {
	return func(in *scope, v []value) (value, error) {
		if v[0].kind == integer && v[1].kind == integer {
			return integerOf(integers(v[0].integer, v[1].integer))
		}
		a, err := v[0].asReal()
		if err != nil {
			return value{}, err
		}
		b, err := v[1].asReal()
		if err != nil {
			return value{}, err
		}
		return realValue(reals(a, b)), nil
	}
}

func shifted(a, by int64, shift func(uint) int64) (int64, error) {
	if by < 0 || by > 63 {
		return 0, fmt.Errorf("%d can't be shifted by %d bits", a, by)
	}
	return shift(uint(by)), nil
}

// less compares two numbers, as integers when both are.
func less(a, b value) bool {
	if a.kind == integer && b.kind == integer {
		return a.integer < b.integer
	}
	left, _ := a.asReal() // its users have looked that both are numbers
	right, _ := b.asReal()
	return left < right
}

// equal is less's sister: nothing is equal to what isn't a number, nor less.
func equal(a, b value) bool {
	if a.kind == integer && b.kind == integer {
		return a.integer == b.integer
	}
	left, _ := a.asReal()
	right, _ := b.asReal()
	return left == right
}

func comparison(compare func(a, b value) bool) func(*scope, []value) (value, error) {
	return func(_ *scope, v []value) (value, error) {
		if err := numbers(v); err != nil {
			return value{}, err
		}
		return truthValue(compare(v[0], v[1])), nil
	}
}

// extreme is the value that comes before all others; with a fraction if any of them has one.
func extreme(before func(a, b value) bool) func(*scope, []value) (value, error) {
	return func(_ *scope, v []value) (value, error) {
		if err := numbers(v); err != nil {
			return value{}, err
		}
		best, fraction := v[0], false
		for _, next := range v {
			fraction = fraction || next.kind == real
			if before(next, best) {
				best = next
			}
		}
		if fraction {
			return realOf(best.asReal())
		}
		return best, nil
	}
}

func numbers(values []value) error {
	for _, v := range values {
		if v.kind == truth {
			return errors.New("numbers are needed, not a truth")
		}
	}
	return nil
}

func absolute(_ *scope, v []value) (value, error) {
	if v[0].kind == integer {
		if v[0].integer >= 0 {
			return v[0], nil
		}
		return integerOf(subtract(0, v[0].integer))
	}
	f, err := v[0].asReal()
	return realValue(math.Abs(f)), err
}

func raise(_ *scope, v []value) (value, error) {
	a, err := v[0].asReal()
	if err != nil {
		return value{}, err
	}
	b, err := v[1].asReal()
	if err != nil {
		return value{}, err
	}
	return realValue(math.Pow(a, b)), nil
}

// draw gives a distribution its bounds and, where it has one, its parameter.
func draw(from distribution) func(*scope, []value) (value, error) {
	return func(in *scope, v []value) (value, error) {
		low, err := v[0].asInteger()
		if err != nil {
			return value{}, err
		}
		high, err := v[1].asInteger()
		if err != nil {
			return value{}, err
		}
		parameter := 0.0
		if len(v) > 2 {
			if parameter, err = v[2].asReal(); err != nil {
				return value{}, err
			}
		}
		return integerOf(from(in.random, low, high, parameter))
	}
}
