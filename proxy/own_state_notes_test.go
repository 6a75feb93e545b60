package proxy

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// Notifications among the clients of own_state_pg_test: who has sent which,
// and what a listener must hear of them.

// noteBook says what became of every notification. A sender counts from 1 on
// each channel; what it took back was never sent.
type noteBook struct {
	mu   sync.Mutex
	sent [][ownChannels][]bool // by sender, channel and number: it was committed
}

func newNoteBook(senders int) *noteBook { return &noteBook{sent: make([][ownChannels][]bool, senders)} }

// number is that of the sender's next notification on a channel.
func (b *noteBook) number(sender, channel int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := &b.sent[sender][channel]
	*list = append(*list, false)
	return len(*list)
}

// committed takes down what a sender commits.
func (b *noteBook) committed(sender int) func(ownNote) {
	return func(n ownNote) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.sent[sender][n.channel][n.number-1] = true
	}
}

// total is how many were sent.
func (b *noteBook) total() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.sent {
		for c := range b.sent[s] {
			for _, sent := range b.sent[s][c] {
				if sent {
					n++
				}
			}
		}
	}
	return n
}

// noting is LISTEN, UNLISTEN or NOTIFY.
func (a *actor) noting() move {
	c := a.n(ownChannels)
	name := `"Own ` + strconv.Itoa(c) + `"`
	on := func(on bool, tag string) func() outcome {
		return func() outcome { a.now.channels[c] = on; return done(tag) }
	}
	switch n := a.n(20); {
	case n < 4:
		return move{text: "listen " + name, play: on(true, "LISTEN")}
	case n < 6:
		return move{text: "unlisten " + name, play: on(false, "UNLISTEN")}
	case n < 7:
		return move{text: "unlisten *", play: func() outcome { a.now.channels = [ownChannels]bool{}; return done("UNLISTEN") }}
	}
	number := a.book.number(a.number, c)
	payload := fmt.Sprintf("'%d %d'", a.number, number)
	text, o := "notify "+name+", "+payload, done("NOTIFY")
	if a.n(3) == 0 {
		text, o = "select pg_notify('Own "+strconv.Itoa(c)+"', "+payload+")", gives("")
	}
	return move{text: text, play: func() outcome {
		a.notes = append(a.notes[:a.now.notes], ownNote{c, number})
		a.now.notes = len(a.notes)
		return o
	}}
}

// ear is what a client hears, and what it has to.
type ear struct {
	book  *noteBook
	on    [ownChannels]bool
	last  [][ownChannels]int // heard, by sender; 0 is none since it listens
	since [][ownChannels]int // what has come before it listened: it may be missing
	heard int
}

func newEar(book *noteBook) *ear {
	if book == nil {
		return nil
	}
	return &ear{book: book, last: make([][ownChannels]int, len(book.sent)), since: make([][ownChannels]int, len(book.sent))}
}

// hear takes what has come with the answer to a Query or batch, and on, what is
// listened on behind it.
func (e *ear) hear(list []heard, on [ownChannels]bool) error {
	if e == nil {
		return nil
	}
	may := e.on
	for c := range on {
		if !on[c] || e.on[c] {
			continue
		}
		may[c] = true
		for s := range e.last {
			e.last[s][c], e.since[s][c] = 0, 1<<30
		}
	}
	for _, h := range list {
		if err := e.one(h, may); err != nil {
			return err
		}
	}
	e.book.mu.Lock()
	defer e.book.mu.Unlock()
	for c := range on {
		for s := range e.since {
			if on[c] && !e.on[c] {
				e.since[s][c] = len(e.book.sent[s][c])
			}
		}
	}
	e.on = on
	return nil
}

func (e *ear) one(h heard, may [ownChannels]bool) error {
	e.heard++
	c, err := strconv.Atoi(strings.TrimPrefix(h.channel, "Own "))
	var sender, number int
	if _, scanned := fmt.Sscanf(h.payload, "%d %d", &sender, &number); err != nil || scanned != nil || c >= ownChannels || sender >= len(e.last) {
		return fmt.Errorf("heard %s", h)
	}
	if !may[c] {
		return fmt.Errorf("heard %s without listening", h)
	}
	last := &e.last[sender][c]
	if number <= *last {
		return fmt.Errorf("heard %s behind %d", h, *last)
	}
	if number > 0 && !e.was(sender, c, number) {
		return fmt.Errorf("heard %s, which was taken back", h)
	}
	if missing := e.between(sender, c, number); missing != 0 {
		return fmt.Errorf("heard %s behind %d: %d is missing", h, *last, missing)
	}
	*last = number
	return nil
}

func (e *ear) was(sender, c, number int) bool {
	e.book.mu.Lock()
	defer e.book.mu.Unlock()
	list := e.book.sent[sender][c]
	return number <= len(list) && list[number-1]
}

// between is a notification that had to come before the given one; 0: none.
func (e *ear) between(sender, c, number int) int {
	from := e.last[sender][c]
	if from == 0 {
		from = e.since[sender][c]
	}
	e.book.mu.Lock()
	defer e.book.mu.Unlock()
	list := e.book.sent[sender][c]
	for n := from + 1; n < number && n <= len(list); n++ {
		if list[n-1] {
			return n
		}
	}
	return 0
}

// wants is a notification that has still to come, when all have been sent; "" if
// none has.
func (e *ear) wants() string {
	for s := range e.last {
		for c, on := range e.on {
			if n := e.between(s, c, 1<<30); on && n != 0 {
				return fmt.Sprintf("Own %d:%d %d", c, s, n)
			}
		}
	}
	return ""
}
