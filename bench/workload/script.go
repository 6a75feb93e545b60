package workload

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Script is the workload that a script in a subset of pgbench's language describes: one call runs it from its first line to
// its last. name stands for the script in the report and in errors, which say name:line and what is wrong there. The tables
// that it works on must exist; only errors are noticed, answers can't be checked.
//
// The language:
//   - SQL commands that end with a semicolon, over as many lines as they need; -- begins a comment.
//   - :name in a command is the value of a variable, sent as a parameter. Unlike in pgbench it isn't looked for within
//     quotes, dollar quotes and comments, nor directly behind a name or, in brackets, behind the lower bound of a slice.
//     In a simple query the values stand in the text, as pgbench has them. Else they are parameters, whose types Postgres
//     finds out by itself: :a + :b needs a cast there, with pgbench too. No part of a name can be made of them.
//   - \set name expression. Expressions have integers, numbers with fractions, TRUE and FALSE, variables, + - * / %, & | # ~
//     << >>, = <> < <= > >=, AND OR NOT, CASE WHEN and the functions abs double exp greatest int least ln mod pi pow power
//     random random_exponential random_gaussian random_zipfian sqrt, and max and min for greatest and least. There is no
//     NULL. A backslash at the end of the line continues it.
//   - \sleep number [us|ms|s], seconds unless it is said.
//   - \if expression, \elif expression, \else, \endif.
//   - \gset, which would make variables of an answer, isn't there.
//   - The variables client_id, scale and random_seed are there from the start; all keep their values from call to call.
func Script(name, text string) (Workload, error) {
	if len(text) > maxScript {
		return Workload{}, fmt.Errorf("%s: a script of more than %d bytes", name, maxScript)
	}
	p := newScriptParser(name, text)
	if err := p.parse(); err != nil {
		return Workload{}, err
	}
	steps, variables := p.steps, p.names
	return Workload{
		Name:   name,
		Title:  "script " + name,
		Tables: noTables,
		NewCaller: func(place Place, client int, seed uint64) Caller {
			in := scope{random: source(client, seed), variables: make([]variable, len(variables))}
			for i, n := range automatic(place, client, seed) {
				in.variables[i] = variable{value: integerValue(n), isSet: true}
			}
			return &scriptCaller{script: name, steps: steps, names: variables, scope: in, status: outside}
		},
	}, nil
}

// ScriptError is why a call was ended by its script: a division by zero in \set, a variable without a value, a transaction
// that is left open. What it was sent on is as good as before, once no transaction is open there.
type ScriptError struct {
	Script string
	Line   int // 0: no line in particular
	Cause  error
}

func (e *ScriptError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.Script, e.Cause)
	}
	return fmt.Sprintf("%s:%d: %s", e.Script, e.Line, e.Cause)
}

func (e *ScriptError) Unwrap() error { return e.Cause }

// automaticNames are the variables that every script has, in the order of automatic's values.
var automaticNames = [...]string{"client_id", "scale", "random_seed"}

func automatic(place Place, client int, seed uint64) [len(automaticNames)]int64 {
	return [...]int64{int64(client), int64(max(place.Scale, 1)), int64(seed)}
}

// step is one thing that a script does. It has a line, and what belongs to its action.
type step struct {
	line   int
	action action

	statement  Statement  // send
	parameters []int      // send: numbers of variables; pause: of the one that says how long, if any
	into       int        // assign
	name       string     // assign: of the variable
	expression expression // assign, branch
	pause      time.Duration
	target     int // jump; branch, unless its expression holds: the step to go on with, always a later one
}

type action int

const (
	send action = iota
	assign
	pause
	branch
	jump
)

// scriptCaller runs a script for one client.
type scriptCaller struct {
	script string
	steps  []step   // shared by all clients
	names  []string // of the variables; shared as well
	scope  scope
	args   [maxParameters]string
	status byte // of the transaction at the end of the latest reply
}

func (c *scriptCaller) Call(ctx context.Context, s Session) error {
	c.status = outside
	err := c.run(ctx, s)
	if err == nil && c.status != outside {
		err = &ScriptError{Script: c.script, Cause: errors.New("the script ends inside of a transaction")}
	}
	if err != nil && c.status != outside {
		_, _ = s.Do(ctx, rollback) // as in transact
	}
	return err
}

func (c *scriptCaller) run(ctx context.Context, s Session) error {
	for next := 0; next < len(c.steps); {
		st := &c.steps[next]
		next++
		switch st.action {
		case send:
			if err := c.send(ctx, s, st); err != nil {
				return err
			}
		case assign:
			v, err := st.expression.evaluate(&c.scope)
			if err != nil {
				return c.mistake(st, fmt.Errorf("\\set %s: %w", st.name, err))
			}
			c.scope.variables[st.into] = variable{value: v, isSet: true}
		case pause:
			if err := c.pause(ctx, st); err != nil {
				return err
			}
		case branch:
			v, err := st.expression.evaluate(&c.scope)
			if err != nil {
				return c.mistake(st, fmt.Errorf("condition: %w", err))
			}
			if !v.holds() {
				next = st.target
			}
		case jump:
			next = st.target
		}
	}
	return nil
}

func (c *scriptCaller) mistake(st *step, cause error) error {
	return &ScriptError{Script: c.script, Line: st.line, Cause: cause}
}

func (c *scriptCaller) send(ctx context.Context, s Session, st *step) error {
	for i, number := range st.parameters {
		v, err := reference{name: c.names[number], number: number}.evaluate(&c.scope)
		if err != nil {
			return c.mistake(st, err)
		}
		c.args[i] = v.String()
	}
	reply, err := s.Do(ctx, st.statement, c.args[:len(st.parameters)]...)
	if err == nil || reply.Status != 0 {
		c.status = reply.Status
	}
	if err != nil {
		return fmt.Errorf("%s:%d: %w", c.script, st.line, err)
	}
	return nil
}

func (c *scriptCaller) pause(ctx context.Context, st *step) error {
	length := st.pause
	if len(st.parameters) > 0 { // then pause is the unit
		number := st.parameters[0]
		v, err := reference{name: c.names[number], number: number}.evaluate(&c.scope)
		if err != nil {
			return c.mistake(st, fmt.Errorf("\\sleep: %w", err))
		}
		n, err := v.asInteger()
		if err != nil {
			return c.mistake(st, fmt.Errorf("\\sleep: %w", err))
		}
		if n > int64(longestPause/st.pause) {
			return c.mistake(st, fmt.Errorf("\\sleep: longer than %s", longestPause))
		}
		length = time.Duration(n) * st.pause
	}
	if length <= 0 {
		return nil
	}
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
