package proxy

import (
	"fmt"
	"strings"

	"carpool/proxy/wire"

	"github.com/jackc/pgx/v5/pgproto3"
)

// blunt is a client that speaks the protocol itself: one or many statements in
// a Query, in batches, and several of these at once.
type blunt struct {
	*actor
	k    *talker
	ear  *ear
	past history
}

// unit is a Query or a batch up to Sync, and what its answer must be.
type unit struct {
	bytes []byte
	said  []string
	want  []string
	on    [ownChannels]bool // listened on behind it
	rows  int
}

// history is what a client has said lately.
type history []string

func (h *history) add(line string) {
	const short = "looks "
	_, tail, _ := strings.Cut(shownBy("work"), "work")
	line = strings.ReplaceAll(strings.ReplaceAll(line, tail, ""), "select concat_ws('|', ", short)
	if *h = append(*h, line); len(*h) > 40 {
		*h = (*h)[len(*h)-30:]
	}
}

func (h history) String() string { return strings.Join(h, "\n\t") }

// expect notes an outcome.
func (u *unit) expect(o outcome) {
	if o.row {
		u.want = append(u.want, "D="+o.value)
		u.rows++
	}
	if o.code != "" {
		u.want = append(u.want, "E="+o.code)
		return
	}
	u.want = append(u.want, "C="+o.tag)
}

// finish notes the end of it.
func (b *blunt) finish(u *unit) *unit {
	b.among = false
	b.over()
	u.want = append(u.want, "Z="+b.status())
	u.on = b.on
	return u
}

// query makes a Query of one statement or several.
func (b *blunt) query(list ...func() move) *unit {
	u := &unit{}
	encoding := b.mind.value(slotEncoding)
	failed := false
	b.among = len(list) > 1
	for _, pick := range list {
		mv := pick()
		u.said = append(u.said, mv.text)
		if failed {
			continue
		}
		o := b.perform(mv)
		u.expect(o)
		failed = o.code != ""
	}
	text := strings.Join(u.said, "; ")
	u.bytes = wire.AppendQuery(nil, inEncoding(encoding, text))
	u.said = []string{"Q " + text}
	return b.finish(u)
}

// batch makes a batch of statements up to Sync. After an error the rest is
// skipped.
func (b *blunt) batch(list ...func() move) *unit {
	u := &unit{}
	failed := false
	b.among = len(list) > 1
	for _, pick := range list {
		if b.n(3) == 0 {
			failed = b.named(u, failed)
			continue
		}
		mv := pick()
		text := b.mind.said(mv.text)
		b.put(u, "X "+mv.text, parse("", text), bind("", ""), execute("", 0))
		if failed {
			continue
		}
		o := b.perform(mv)
		u.expect(o)
		failed = o.code != ""
	}
	b.put(u, "Sync", syncNow)
	return b.finish(u)
}

func (b *blunt) put(u *unit, said string, messages ...pgproto3.FrontendMessage) {
	u.said = append(u.said, said)
	u.bytes = append(u.bytes, encode(b.k.t, messages...)...)
}

// named is Parse, Bind and Execute, or Close of a statement with a name; skipped
// if the batch has failed. It reports whether it has now.
func (b *blunt) named(u *unit, skipped bool) bool {
	name := b.planName()
	token, there := b.plans[name]
	var o outcome
	switch n := b.n(5); {
	case n == 0:
		b.put(u, "Close "+name, closeOf('S', name))
		if !skipped {
			b.open(true)
			delete(b.plans, name)
		}
		return skipped
	case !there && n < 4 || there && n == 1:
		token, text := b.planText()
		b.put(u, "Parse "+name+" "+text, parse(name, text))
		if skipped {
			return true
		}
		if b.failed {
			o = failure("25P02")
			break
		}
		b.open(true)
		if o = b.prepares(name, token); o.code == "" {
			return false
		}
		b.fail()
	default:
		b.put(u, "Bind "+name, bind("", name), execute("", 0))
		if skipped {
			return true
		}
		b.open(true)
		switch {
		case !there:
			o = failure("26000")
			b.fail()
		case b.failed:
			o = failure("25P02")
		default:
			o = gives(token + " " + b.place())
		}
	}
	u.expect(o)
	return o.code != ""
}

// form makes the next Query or batch.
func (b *blunt) form() *unit {
	one := func(f func() move) []func() move { return []func() move{f} }
	several := func() (list []func() move) {
		for range 2 + b.n(4) {
			list = append(list, b.plain)
		}
		if b.n(8) == 0 {
			list = append(list, b.failing, b.plain)
		}
		return list
	}
	switch n := b.n(10); {
	case n < 5:
		return b.query(one(b.next)...)
	case n < 7:
		return b.batch(one(b.next)...)
	case n < 8:
		return b.query(several()...)
	}
	return b.batch(several()...)
}

// round says something, and looks at what comes back. It returns how many
// answers it has looked at that show the session.
func (b *blunt) round() (checks int, err error) {
	list := []*unit{b.form()}
	for b.n(4) == 0 {
		list = append(list, b.form())
	}
	var bytes []byte
	for _, u := range list {
		bytes = append(bytes, u.bytes...)
		b.past.add(strings.Join(u.said, " | "))
	}
	b.k.send(bytes)
	for _, u := range list {
		got := transcript(b.k.until("Z"))
		if want := strings.Join(u.want, " "); got != want {
			return checks, fmt.Errorf("%s\n got %s\nwant %s", strings.Join(u.said, " | "), got, want)
		}
		checks += u.rows
		said := b.k.heard
		b.k.heard = nil
		if err := b.ear.hear(said, u.on); err != nil {
			return checks, fmt.Errorf("%s: %w", strings.Join(u.said, " | "), err)
		}
	}
	if wrong := b.misled(func(name string) string { return b.k.params[name] }); wrong != "" {
		return checks, fmt.Errorf("behind %s: %s", strings.Join(list[len(list)-1].said, " | "), wrong)
	}
	return checks, nil
}

// transcript is what counts of an answer.
func transcript(list []answer) string {
	var words []string
	for _, a := range list {
		switch a.typ {
		case wire.DataRow:
			words = append(words, "D="+firstValue(a.body))
		case wire.CommandComplete:
			words = append(words, "C="+strings.TrimSuffix(string(a.body), "\x00"))
		case wire.ErrorResponse:
			words = append(words, "E="+wire.ParseReport(a.body).Code)
		case wire.ReadyForQuery:
			words = append(words, "Z="+string(a.body))
		}
	}
	return strings.Join(words, " ")
}

// resting ends what holds a server.
const resting = "discard temp; select pg_advisory_unlock_all(); deallocate all"

func (b *blunt) rest() error {
	if !b.outside() {
		b.rollback()
	}
	got := transcript(b.k.ask(simple("rollback"))) + " " + transcript(b.k.ask(simple(resting)))
	if !strings.HasSuffix(got, "C=DISCARD TEMP D= C=SELECT 1 C=DEALLOCATE ALL Z=I") {
		return fmt.Errorf("coming to rest: %s", got)
	}
	return nil
}

// await reads until it has heard everything.
func (b *blunt) await() error {
	for b.ear.wants() != "" {
		list := b.k.heard
		b.k.heard = nil
		if err := b.ear.hear(list, b.ear.on); err != nil {
			return err
		}
		if b.ear.wants() == "" {
			break
		}
		b.k.doing = "and " + b.ear.wants() + " hasn't come"
		b.k.next()
	}
	return nil
}

// leave ends the connection in one of the ways there are.
func (b *blunt) leave() {
	switch b.n(3) {
	case 0:
		b.k.send(wire.AppendEmpty(nil, wire.Terminate))
	case 1:
		leaving["RST"](b.k.conn)
	}
	_ = b.k.conn.Close()
}

// inEncoding is a text as a client with the encoding sends it.
func inEncoding(encoding, text string) string {
	m := mind{}
	m.set(slotEncoding, encoding)
	return m.said(text)
}
