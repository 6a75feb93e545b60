package proxy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// polite is a client of own_state_pg_test that uses pgx as it comes, with its
// cache of statements.
type polite struct {
	*actor
	conn  *pgx.Conn
	ear   *ear
	heard []heard
	past  history
	// hidden: it has set a parameter whose name no text shows.
	hidden bool
	own    map[string]string // what it has prepared by its driver, by name
}

// goPolitely connects.
func goPolitely(a *actor, ears *ear, url string, params map[string]string) (*polite, error) {
	p := &polite{actor: a, ear: ears, own: make(map[string]string)}
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	for name, value := range params {
		c.RuntimeParams[name] = value
	}
	c.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) {
		p.heard = append(p.heard, heard{n.PID, n.Channel, n.Payload})
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p.conn, err = pgx.ConnectConfig(ctx, c)
	return p, err
}

// answer is an outcome, as the driver tells it.
func (p *polite) answer(ctx context.Context, text string, args ...any) outcome {
	var value string
	err := p.conn.QueryRow(ctx, text, args...).Scan(&value)
	return outcomeOf(value, err)
}

func outcomeOf(value string, err error) outcome {
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused):
		return failure(refused.Code)
	case err != nil:
		return failure(err.Error())
	}
	return gives(value)
}

// alone plays a statement that is sent by itself.
func (p *polite) alone(mv move) outcome {
	defer p.over()
	return p.perform(mv)
}

// do has the driver do one thing. It returns what came of it and what should.
func (p *polite) do(ctx context.Context) (got, want outcome) {
	switch n := p.n(10); {
	case n < 2 && !p.failed:
		return p.batch(ctx)
	case n < 4:
		return p.shows(ctx)
	case n < 5:
		return p.prepared(ctx)
	}
	mv := p.next()
	if p.hidden && p.outside() && p.n(3) == 0 {
		mv = move{text: "reset all", play: func() outcome { p.resetAll(); p.restored, p.hidden = true, false; return done("RESET") }}
	}
	p.past.add(mv.text)
	discards := mv.text == "discard all"
	if discards || mv.text == "deallocate all" {
		if !p.outside() {
			return p.shows(ctx) // the driver would lose its statements, and the server wouldn't
		}
		if err := p.conn.DeallocateAll(ctx); err != nil {
			return outcomeOf("", err), outcome{}
		}
		clear(p.own)
		if !discards {
			return outcome{}, p.bare(p.alone(mv))
		}
	}
	want = p.alone(mv)
	if want.row && p.n(3) != 0 {
		got = p.answer(ctx, mv.text, pgx.QueryResultFormats{pgx.TextFormatCode}) // a bool is one letter
		return got, want
	}
	_, err := p.conn.Exec(ctx, mv.text)
	if err == nil {
		return outcome{}, p.bare(want)
	}
	return outcomeOf("", err), want
}

// bare is an outcome without what wasn't looked at.
func (p *polite) bare(o outcome) outcome { return outcome{code: o.code} }

// shows looks at the session with a statement that all clients share.
func (p *polite) shows(ctx context.Context) (got, want outcome) {
	work := p.mark()
	p.past.add("shows " + work)
	want = p.alone(move{play: func() outcome { return gives(p.shown(work)) }})
	return p.answer(ctx, shownBy("$1::text"), work), want
}

// prepared uses the driver's own means to prepare.
func (p *polite) prepared(ctx context.Context) (got, want outcome) {
	name := fmt.Sprintf("d%d", p.n(4))
	token, there := p.own[name]
	switch {
	case !there:
		token, text := p.planText()
		p.past.add("Prepare " + name + " " + text)
		want = p.alone(move{play: func() outcome { p.own[name] = token; return outcome{} }})
		if _, err := p.conn.Prepare(ctx, name, text); err != nil {
			return outcomeOf("", err), want
		}
		return outcome{}, want
	case p.n(4) == 0 && !p.failed:
		p.past.add("Deallocate " + name)
		delete(p.own, name)
		if err := p.conn.Deallocate(ctx, name); err != nil {
			return outcomeOf("", err), outcome{}
		}
		return outcome{}, outcome{}
	}
	p.past.add("uses " + name)
	want = p.alone(move{play: func() outcome { return gives(token + " " + p.place()) }})
	return p.answer(ctx, name), want
}

// batch sends several statements at once.
func (p *polite) batch(ctx context.Context) (got, want outcome) {
	b := &pgx.Batch{}
	var wants []outcome
	failed := false
	queue := func(play func() outcome, text string, args ...any) {
		p.past.add(fmt.Sprintf("batch: %s %v", text, args))
		b.Queue(text, args...)
		if !failed {
			o := p.perform(move{play: play})
			wants = append(wants, o)
			failed = o.code != ""
		}
	}
	for range 2 + p.n(4) {
		switch p.n(5) {
		case 0:
			work := p.mark()
			queue(func() outcome { return gives(p.shown(work)) }, shownBy("$1::text"), work)
		case 1:
			text := fmt.Sprintf("select 'c%d.%d ' || $1::text || name from place", p.number, p.n(8))
			work := p.mark()
			queue(func() outcome { return gives(strings.Split(text, "'")[1] + work + p.place()) }, text, work)
		case 2:
			s := p.any()
			written, shown := p.wish(s)
			set := func() outcome { p.set(s, shown); return gives(shown) }
			if s == slotTenant || p.n(20) != 0 { // whoever hides the name keeps its server
				queue(set, "select set_config('"+slotNames[s]+"', $1, false)", written)
				continue
			}
			p.hidden = true
			queue(set, "select set_config($1, $2, false)", slotNames[s], written)
		case 3:
			if p.n(8) == 0 {
				queue(func() outcome { return failure("22012") }, "select (1/$1::int)::text", 0)
			}
		case 4:
			mv := p.setting()
			queue(mv.play, mv.text)
		}
	}
	if b.Len() == 0 {
		return p.shows(ctx)
	}
	p.over()
	results := p.conn.SendBatch(ctx, b)
	defer results.Close() //nolint:errcheck // what it says is looked at for each
	for _, want := range wants {
		if want.row || want.code != "" {
			var value string
			err := results.QueryRow().Scan(&value)
			if got = outcomeOf(value, err); got != want {
				return got, want
			}
			continue
		}
		if _, err := results.Exec(); err != nil {
			return outcomeOf("", err), want
		}
	}
	if last := wants[len(wants)-1]; last.row {
		return last, last
	}
	return outcome{}, outcome{}
}

// round does something, and looks at what comes back.
func (p *polite) round() (checks int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	got, want := p.do(ctx)
	if want.code != "" {
		want = outcome{code: want.code}
	}
	if got != want {
		return 0, fmt.Errorf("\n got %+v\nwant %+v", got, want)
	}
	if want.row {
		checks++
	}
	if status := string(p.conn.PgConn().TxStatus()); status != p.status() {
		return checks, fmt.Errorf("the driver was told the status %s, want %s", status, p.status())
	}
	list := p.heard
	p.heard = nil
	if err := p.ear.hear(list, p.on); err != nil {
		return checks, err
	}
	if wrong := p.misled(p.conn.PgConn().ParameterStatus); wrong != "" {
		return checks, errors.New(wrong)
	}
	return checks, nil
}

func (p *polite) rest() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if !p.outside() {
		p.rollback()
	}
	for _, text := range []string{"rollback", resting} {
		if _, err := p.conn.Exec(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// await reads until it has heard everything.
func (p *polite) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		list := p.heard
		p.heard = nil
		if err := p.ear.hear(list, p.ear.on); err != nil {
			return err
		}
		missing := p.ear.wants()
		if missing == "" {
			return nil
		}
		if err := p.conn.PgConn().WaitForNotification(ctx); err != nil {
			return fmt.Errorf("%s hasn't come: %w", missing, err)
		}
	}
}

// leave ends the connection in one of the ways there are.
func (p *polite) leave() {
	if p.n(2) == 0 {
		_ = p.conn.PgConn().Conn().Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = p.conn.Close(ctx)
}
