package drivers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// goDriver makes clients of one of Go's drivers.
type goDriver interface {
	connect(ctx context.Context, parameters map[string]string) (client, error)
	// pool opens the driver's own pool. acquire lends a client, whose close gives it back.
	pool(ctx context.Context, size int) (acquire func() (client, error), shut func(), err error)
}

// client is a connection of one of Go's drivers, or one lent by its pool. What it runs outside begin and commit or rollback
// is a transaction by itself. Arguments and targets are of any type because they are so in the drivers.
type client interface {
	run(ctx context.Context, sql string, args ...any) error
	// read calls scan at every row, and returns the columns' names.
	read(ctx context.Context, sql string, args []any, scan func(into func(...any) error) error) ([]string, error)
	begin(ctx context.Context) error
	commit(ctx context.Context) error
	rollback(ctx context.Context) error
	close(ctx context.Context) error

	// What each driver does in its own way.

	listen(ctx context.Context, channel string) error
	unlisten(ctx context.Context, channel string) error
	notified(ctx context.Context) (payload string, err error) // waits for the next
	batch(ctx context.Context, sql string, numbers []int32) error
	copyIn(ctx context.Context, rows int) error
	copyOut(ctx context.Context, sql string) (text string, err error)
	// cancelled runs a query and cancels it once running has returned; it returns the query's error.
	cancelled(ctx context.Context, sql string, running func() error) error
	array(numbers *[]int32) any // for an argument and a target
}

// errQuery is of a query that has another number of rows than it should.
var errQuery = errors.New("not one row")

// goRunner goes through steps with a driver in Go.
func goRunner(ctx context.Context, d goDriver, names []string, report func(outcome)) {
	for _, name := range names {
		report(goStep(ctx, d, name))
	}
}

func goStep(ctx context.Context, d goDriver, name string) outcome {
	o := outcome{Step: name}
	ctx, cancel := context.WithTimeoutCause(ctx, stepPatience, fmt.Errorf("nothing happens for %s", stepPatience))
	defer cancel()
	j := &journey{ctx: ctx, driver: d}
	var result any
	if journey, known := journeys[name]; known {
		result = journey(j)
	} else {
		j.fail(errLeftOut)
	}
	j.leave()
	o.Retries = j.retries
	if j.err == nil {
		o.Result, j.err = json.Marshal(result)
	}
	if j.err != nil {
		if cause := context.Cause(ctx); cause != nil {
			j.err = fmt.Errorf("%w (%w)", cause, j.err)
		}
		o.Error = j.err.Error()
	}
	return o
}

// journey is one step of a driver in Go. Its first error is kept, and nothing is done after it.
type journey struct {
	ctx     context.Context // of this step
	driver  goDriver
	open    []client
	retries int
	err     error
}

func (j *journey) fail(err error) {
	if j.err == nil {
		j.err = err
	}
}

// leave closes what the step has opened.
func (j *journey) leave() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(j.ctx), stepPatience)
	defer cancel()
	for _, c := range j.open {
		if err := c.close(ctx); err != nil {
			j.fail(fmt.Errorf("closing: %w", err))
		}
	}
}

// connect opens a connection that is closed at the end of the step. After an error it is nil, which nobody uses then.
func (j *journey) connect(parameters map[string]string) client {
	if j.err != nil {
		return nil
	}
	c, err := j.driver.connect(j.ctx, parameters)
	if err != nil {
		j.fail(fmt.Errorf("connecting: %w", err))
		return nil
	}
	j.open = append(j.open, c)
	return c
}

// closes ends a connection before the end of the step.
func (j *journey) closes(c client) {
	if j.err != nil {
		return
	}
	for i := range j.open {
		if j.open[i] == c {
			j.open = append(j.open[:i], j.open[i+1:]...)
			break
		}
	}
	j.does("closing", func() error { return c.close(j.ctx) })
}

// does does something that the driver has a means of its own for.
func (j *journey) does(what string, do func() error) {
	if j.err != nil {
		return
	}
	if err := do(); err != nil {
		j.fail(fmt.Errorf("%s: %w", what, err))
	}
}

func (j *journey) begin(c client)    { j.does("begin", func() error { return c.begin(j.ctx) }) }
func (j *journey) commit(c client)   { j.does("commit", func() error { return c.commit(j.ctx) }) }
func (j *journey) rollback(c client) { j.does("rollback", func() error { return c.rollback(j.ctx) }) }

func (j *journey) run(c client, sql string, args ...any) {
	j.does(sql, func() error { return c.run(j.ctx, sql, args...) })
}

// scan reads the one row of a query into the targets.
func (j *journey) scan(c client, sql string, args []any, into ...any) {
	j.does(sql, func() error {
		rows := 0
		_, err := c.read(j.ctx, sql, args, func(scan func(...any) error) error { rows++; return scan(into...) })
		if err == nil && rows != 1 {
			err = errQuery
		}
		return err
	})
}

// text is the value of a query, which is a text.
func (j *journey) text(c client, sql string, args ...any) (value string) {
	j.scan(c, sql, args, &value)
	return value
}

// number is the value of a query, which is an int.
func (j *journey) number(c client, sql string, args ...any) (value int32) {
	j.scan(c, sql, args, &value)
	return value
}

// truth is the value of a query, which is a bool.
func (j *journey) truth(c client, sql string, args ...any) (value bool) {
	j.scan(c, sql, args, &value)
	return value
}

// numbers are the values of a query's only column, each an int.
func (j *journey) numbers(c client, sql string, args ...any) (values []int32) {
	j.does(sql, func() error {
		_, err := c.read(j.ctx, sql, args, func(scan func(...any) error) error {
			var value int32
			err := scan(&value)
			values = append(values, value)
			return err
		})
		return err
	})
	return values
}

// refusal is the SQLSTATE of the error that a statement ends with.
func (j *journey) refusal(c client, sql string, args ...any) string {
	if j.err != nil {
		return ""
	}
	return j.code(sql, c.run(j.ctx, sql, args...))
}

// code is the SQLSTATE of an error that there must be.
func (j *journey) code(what string, err error) string {
	var refused interface{ SQLState() string }
	if !errors.As(err, &refused) {
		j.fail(fmt.Errorf("%s: no error of the server: %w", what, err))
		return ""
	}
	return refused.SQLState()
}
