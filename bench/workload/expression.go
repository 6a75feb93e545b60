package workload

import (
	"errors"
	"fmt"
	"math/rand/v2"
)

// scope is what an expression is evaluated in: the variables of one client and its randomness.
type scope struct {
	random    *rand.Rand
	variables []variable // by the numbers that the script gave their names
}

type variable struct {
	value value
	isSet bool
}

// expression is a part of a script that has a value.
type expression interface {
	evaluate(in *scope) (value, error)
}

// constant is a number or truth as it was written.
type constant value

func (c constant) evaluate(*scope) (value, error) { return value(c), nil }

// reference is the value of a variable.
type reference struct {
	name   string
	number int
}

func (r reference) evaluate(in *scope) (value, error) {
	v := in.variables[r.number]
	if !v.isSet {
		return value{}, fmt.Errorf("variable %s has no value yet", r.name)
	}
	return v.value, nil
}

// application is a function or an operator with its arguments.
type application struct {
	function  function
	arguments []expression
}

// function computes a value from values. How many arguments it takes is looked at when a script is read.
type function struct {
	name    string
	least   int // number of arguments
	most    int
	compute func(in *scope, arguments []value) (value, error)
}

// manyArguments bounds the arguments of greatest and least.
const manyArguments = 100

func (a application) evaluate(in *scope) (value, error) {
	var few [3]value
	values := few[:0]
	for _, argument := range a.arguments {
		v, err := argument.evaluate(in)
		if err != nil {
			return value{}, err
		}
		values = append(values, v)
	}
	return a.function.compute(in, values)
}

// connective is AND or OR, which look at their right side only if the left one hasn't decided.
type connective struct {
	decisive    bool // the truth that decides: false for AND, true for OR
	left, right expression
}

func (c connective) evaluate(in *scope) (value, error) {
	for _, side := range []expression{c.left, c.right} {
		v, err := side.evaluate(in)
		if err != nil {
			return value{}, err
		}
		holds, err := v.asTruth()
		if err != nil {
			return value{}, err
		}
		if holds == c.decisive {
			return truthValue(holds), nil
		}
	}
	return truthValue(!c.decisive), nil
}

// choice is CASE: the value beside the first condition that holds.
type choice struct {
	conditions []expression
	values     []expression
	otherwise  expression // nil: there is no ELSE
}

func (c choice) evaluate(in *scope) (value, error) {
	for i, condition := range c.conditions {
		v, err := condition.evaluate(in)
		if err != nil {
			return value{}, err
		}
		if v.holds() {
			return c.values[i].evaluate(in)
		}
	}
	if c.otherwise == nil {
		return value{}, errors.New("no WHEN holds and there is no ELSE: the value would be NULL, which isn't supported")
	}
	return c.otherwise.evaluate(in)
}
