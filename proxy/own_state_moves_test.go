package proxy

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// What the clients of own_state_pg_test say at random.

// outcome is what a statement must be answered with: an error's code, or a tag
// and perhaps a value.
type outcome struct {
	code, tag, value string
	row              bool
}

func failure(code string) outcome { return outcome{code: code} }
func done(tag string) outcome     { return outcome{tag: tag} }

func gives(value string) outcome { return outcome{tag: "SELECT 1", value: value, row: true} }

// move is a statement, and what it does to the session.
type move struct {
	text string
	play func() outcome
	// mends: it does something in a failed transaction, too.
	mends bool
}

// actor says things at random, and knows what it has to be answered.
type actor struct {
	*mind
	rng    *rand.Rand
	number int
	serial int       // makes texts and values its own, and new
	book   *noteBook // nil: it neither listens nor notifies
	// unicode: it uses client_encoding, and what isn't ASCII.
	unicode bool
	// own are the parameters it came with.
	own [slots]bool
	// among: what it says now is part of a longer Query or batch.
	among bool
	// restored: it is told of its own values behind the answer.
	restored bool
}

func (a *actor) n(n int) int { return a.rng.IntN(n) }

// mark is a text that nobody else has, and this client hasn't had.
func (a *actor) mark() string {
	a.serial++
	return fmt.Sprintf("c%d.%d", a.number, a.serial)
}

const ownSchemas = 12

// wishes for a parameter: as it's written in a set_config, and as it's shown.
func (a *actor) wish(s slot) (written, shown string) {
	switch s {
	case slotPath:
		shown = fmt.Sprintf("own_%d", a.n(ownSchemas))
		if a.n(3) == 0 {
			shown += fmt.Sprintf(", own_%d", a.n(ownSchemas))
		}
	case slotZone:
		shown = []string{"UTC", "Asia/Tokyo", "Europe/Berlin", "America/New_York", "Asia/Kolkata"}[a.n(5)]
	case slotStyle:
		shown = []string{"ISO, MDY", "ISO, DMY", "German, DMY", "SQL, DMY", "SQL, MDY", "Postgres, DMY", "Postgres, MDY"}[a.n(7)]
		return strings.ToLower(shown), shown
	case slotTimeout:
		shown = fmt.Sprintf("%dms", 600_001+2*a.n(100_000))
		return strings.TrimSuffix(shown, "ms"), shown
	case slotName:
		shown = a.mark() + []string{"", " it's", ` back\slash`, ` "quoted"`}[a.n(4)]
	case slotTenant:
		shown = a.mark() + []string{"", " it's", ` back\slash`, " $1"}[a.n(4)]
		if a.unicode && a.n(2) == 0 {
			shown += " é"
		}
	case slotMemory:
		shown = fmt.Sprintf("%dkB", 1025+2*a.n(2000))
	case slotRole:
		shown = []string{"app", "other", "none"}[a.n(3)]
	case slotEncoding:
		shown = []string{"UTF8", "LATIN1"}[a.n(2)]
	}
	return shown, shown
}

// any is a parameter.
func (a *actor) any() slot {
	if a.unicode {
		return slot(a.n(int(slots)))
	}
	return slot(a.n(int(slotEncoding)))
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// setting is a SET of some form.
func (a *actor) setting() move {
	s := a.any()
	written, shown := a.wish(s)
	local := a.n(4) == 0
	tells := a.n(4) == 0
	play := func() outcome {
		if local {
			a.setLocal(s, shown)
		} else {
			a.set(s, shown)
		}
		if tells {
			return gives(a.said(shown))
		}
		return done("SET")
	}
	scope := []string{"", "session "}[a.n(2)]
	if local {
		scope = "local "
	}
	if tells {
		return move{text: fmt.Sprintf("select set_config('%s', %s, %t)", slotNames[s], quoted(written), local), play: play}
	}
	value := quoted(written)
	if s == slotPath {
		value = written
	}
	text := "set " + scope + slotNames[s] + []string{" to ", " = "}[a.n(2)] + value
	switch {
	case s == slotZone && a.n(2) == 0:
		text = "SET " + scope + "TIME ZONE " + value
	case s == slotRole:
		text = "set " + scope + "role " + written
	case s == slotEncoding && !local && a.n(2) == 0:
		text = "set names " + value
	}
	return move{text: text, play: play}
}

// resetting is a RESET of some form.
func (a *actor) resetting() move {
	s := a.any()
	for a.among && a.own[s] {
		s = a.any() // what stands behind it would see the server's own value
	}
	one := func(tag string) func() outcome {
		return func() outcome { a.reset(s); a.restored = true; return done(tag) }
	}
	switch {
	case a.n(5) == 0 && !a.among:
		return move{text: "reset all", play: func() outcome { a.resetAll(); a.restored = true; return done("RESET") }}
	case s == slotRole:
		return move{text: "reset role", play: one("RESET")}
	case s == slotZone && a.n(2) == 0:
		return move{text: "set time zone default", play: one("SET")}
	case a.n(2) == 0:
		return move{text: "set " + slotNames[s] + " to default", play: one("SET")}
	}
	return move{text: "reset " + slotNames[s], play: one("RESET")}
}

// looking shows the session.
func (a *actor) looking() move {
	work := a.mark()
	return move{text: shownBy("'" + work + "'"), play: func() outcome { return gives(a.said(a.shown(work))) }}
}

func (a *actor) planName() string { return fmt.Sprintf("n%d", a.n(4)) }

// planText is a statement that answers with a token and the place.
func (a *actor) planText() (token, text string) {
	token = a.mark()
	return token, "select '" + token + " ' || name from place"
}

// preparing is something about statements that SQL prepares.
func (a *actor) preparing() move {
	name := a.planName()
	if a.n(3) == 0 { // one that is there
		if list := a.named(); len(list) > 0 {
			name = list[a.n(len(list))]
		}
	}
	_, there := a.plans[name]
	switch {
	case a.n(20) == 0:
		return move{text: "deallocate all", play: func() outcome { clear(a.plans); return done("DEALLOCATE ALL") }}
	case !there && a.n(8) != 0:
		token, text := a.planText()
		return move{text: "prepare " + name + " as " + text, play: func() outcome { return a.prepares(name, token) }}
	case a.n(4) == 0:
		return move{text: "deallocate " + name, play: func() outcome {
			if _, there := a.plans[name]; !there {
				return failure("26000")
			}
			delete(a.plans, name)
			return done("DEALLOCATE")
		}}
	}
	return move{text: "execute " + name, play: func() outcome { return a.executes(name) }}
}

func (a *actor) prepares(name, token string) outcome {
	if _, there := a.plans[name]; there {
		return failure("42P05")
	}
	a.plans[name] = token
	return done("PREPARE")
}

func (a *actor) executes(name string) outcome {
	token, there := a.plans[name]
	if !there {
		return failure("26000")
	}
	return gives(token + " " + a.place())
}

// failing is an error.
func (a *actor) failing() move {
	text, code := "select 1/0", "22012"
	switch a.n(4) {
	case 0:
		text, code = "set TimeZone to 'Mars/Olympus'", "22023"
	case 1:
		text, code = "select * from no_such_table", "42P01"
	}
	return move{text: text, play: func() outcome { return failure(code) }}
}

// pinning makes something that can't follow the client, or takes it away.
func (a *actor) pinning() move {
	if a.value(slotRole) == "none" && (a.temp != "" || a.n(2) == 0) {
		if a.temp == "" {
			token := a.mark()
			return move{text: "create temp table mine as select '" + token + "' as token", play: func() outcome { a.temp = token; return done("SELECT 1") }}
		}
		if a.n(3) == 0 {
			return move{text: "select token from mine", play: func() outcome { return gives(a.temp) }}
		}
		return move{text: "drop table mine", play: func() outcome { a.temp = ""; return done("DROP TABLE") }}
	}
	if a.lock == 0 && a.n(3) != 0 {
		a.serial++
		lock := a.number*1_000_000 + a.serial
		return move{text: fmt.Sprintf("select pg_try_advisory_lock(%d)", lock), play: func() outcome { a.lock = lock; return gives("t") }}
	}
	return move{text: fmt.Sprintf("select pg_advisory_unlock(%d)", a.lock), play: func() outcome {
		was := a.lock != 0
		a.lock = 0
		return gives(fmt.Sprint(was)[:1])
	}}
}

// discarding is DISCARD ALL, which isn't for transactions.
func (a *actor) discarding() move {
	return move{text: "discard all", play: func() outcome {
		if !a.outside() {
			return failure("25001")
		}
		a.discardAll()
		a.restored = true
		return done("DISCARD ALL")
	}}
}

// beginning begins a transaction.
func (a *actor) beginning() move {
	text := []string{"begin", "BEGIN;", "start transaction", "begin isolation level repeatable read", "/* here */ begin work"}[a.n(5)]
	tag := "BEGIN"
	if text[0] == 's' {
		tag = "START TRANSACTION"
	}
	return move{text: text, play: func() outcome { a.open(false); return done(tag) }}
}

// ending ends a transaction.
func (a *actor) ending() move {
	text, commit, chain := "rollback", a.n(5) < 3, a.n(10) == 0
	if commit {
		text = "commit"
	}
	if chain {
		text += " and chain"
	}
	return move{text: text, mends: true, play: func() outcome {
		tag := "ROLLBACK"
		if commit && !a.failed {
			a.commit(a.book.committed(a.number))
			tag = "COMMIT"
		} else {
			a.rollback()
		}
		if chain {
			a.open(false)
		}
		return done(tag)
	}}
}

// saving is about savepoints.
func (a *actor) saving() move {
	depth := len(a.frames)
	if depth == 1 || depth < 4 && a.n(2) == 0 {
		name := fmt.Sprintf("s%d", depth)
		return move{text: "savepoint " + name, play: func() outcome { a.savepoint(name); return done("SAVEPOINT") }}
	}
	at := 1 + a.n(depth-1)
	name := a.frames[at].name
	if a.n(3) == 0 && !a.failed {
		return move{text: "release " + name, play: func() outcome { a.release(at); return done("RELEASE") }}
	}
	return move{text: "rollback to " + name, mends: true, play: func() outcome { a.rollbackTo(at); return done("ROLLBACK") }}
}

// plain is what can stand anywhere.
func (a *actor) plain() move {
	switch n := a.n(100); {
	case n < 35:
		return a.setting()
	case n < 42:
		return a.resetting()
	case n < 68:
		return a.looking()
	case n < 80 || a.book == nil:
		return a.preparing()
	}
	return a.noting()
}

// control is what the state of the transaction calls for now and then; false
// if it is something plain this time.
func (a *actor) control() (move, bool) {
	n := a.n(100)
	switch {
	case a.failed && len(a.frames) > 1 && n < 40:
		return a.saving(), true
	case a.failed && n < 85:
		return a.ending(), true
	case len(a.frames) > 0 && n < 15:
		return a.ending(), true
	case len(a.frames) > 0 && n < 27:
		return a.saving(), true
	case len(a.frames) == 0 && n < 16:
		return a.beginning(), true
	case n >= 97:
		return a.failing(), true
	case len(a.frames) == 0 && n >= 94, len(a.frames) == 0 && n >= 75 && (a.temp != "" || a.lock != 0):
		return a.pinning(), true
	case n == 93:
		return a.discarding(), true
	}
	return move{}, false
}

// next is one statement.
func (a *actor) next() move {
	if mv, ok := a.control(); ok {
		return mv
	}
	return a.plain()
}

// perform plays a statement, in the midst of a Query or batch.
func (a *actor) perform(mv move) outcome {
	if a.failed && !mv.mends {
		return failure("25P02")
	}
	a.open(true)
	o := mv.play()
	if o.code != "" {
		a.fail()
	}
	return o
}

// over is the end of the Query or batch.
func (a *actor) over() {
	if a.implicit {
		a.commit(a.book.committed(a.number))
	}
}

// misled is what the client was told otherwise than it is, when it has all its
// answers; "" if nothing is.
func (a *actor) misled(told func(string) string) string {
	late := a.restored
	a.restored = false
	if late || a.failed {
		return ""
	}
	return a.misreported(told)
}
