package workload

import "context"

var (
	begin    = Statement{SQL: "BEGIN"}
	commit   = Statement{SQL: "COMMIT"}
	rollback = Statement{SQL: "ROLLBACK"}
)

// writtenHere is true of a row that the transaction has written which asks: xmin has the low 32 bits of its number.
const writtenHere = "xmin::text::bigint = txid_current() % 4294967296"

// block is a transaction under way on a session.
type block struct {
	session Session
	status  byte // of the transaction at the end of the latest reply
}

// transact runs body between BEGIN and last, which is commit or rollback, and checks that the session was in that
// transaction from one end to the other. After an error of any kind it rolls back what may be open, as well as that goes.
func transact(ctx context.Context, s Session, last Statement, body func(*block) error) error {
	b := &block{session: s, status: outside}
	err := b.begin(ctx)
	if err == nil {
		err = body(b)
	}
	if err == nil {
		err = b.end(ctx, last)
	}
	if err != nil && b.status != outside {
		// The first error is the one to tell. A session that can't roll back fails at its next statement too.
		_, _ = s.Do(ctx, rollback)
	}
	return err
}

func (b *block) begin(ctx context.Context) error {
	reply, err := b.session.Do(ctx, begin)
	if err != nil {
		b.failed(reply)
		return err
	}
	return b.check(reply, answer{asked: "to begin a transaction", thing: "row", tag: "BEGIN"}, "began a transaction", inside)
}

// do sends one statement inside of the transaction.
func (b *block) do(ctx context.Context, st Statement, want answer, args ...string) error {
	reply, err := b.session.Do(ctx, st, args...)
	if err != nil {
		b.failed(reply)
		return err
	}
	return b.check(reply, want, "ran a statement inside of a transaction", inside)
}

func (b *block) end(ctx context.Context, last Statement) error {
	reply, err := b.session.Do(ctx, last)
	if err != nil {
		b.failed(reply)
		return err
	}
	did := "ended a transaction with " + last.SQL
	if reply.Tag == rollback.SQL && last.SQL != rollback.SQL {
		b.status = reply.Status
		return &MixedTransaction{Did: did, Found: "that it was rolled back"}
	}
	return b.check(reply, answer{asked: "to end a transaction", thing: "row", tag: last.SQL}, did, outside)
}

// check compares a reply with what it must be, and the transaction with the status that it must have.
func (b *block) check(reply Reply, want answer, did string, status byte) error {
	b.status = reply.Status
	for _, warning := range reply.Warnings {
		switch warning {
		case alreadyBegun:
			return &MixedTransaction{Did: did, Found: "that one was in progress already"}
		case notBegun:
			return &MixedTransaction{Did: did, Found: "that none was in progress"}
		}
	}
	if err := want.check(reply); err != nil {
		return err
	}
	if reply.Status == status {
		return nil
	}
	found := "that somebody else had ended it"
	switch {
	case status == outside:
		found = "that one was in progress still"
	case reply.Status == broken:
		found = "that somebody else had broken it"
	}
	return &MixedTransaction{Did: did, Found: found}
}

// failed remembers what a reply with an error says of the transaction. One that says nothing changes nothing.
func (b *block) failed(reply Reply) {
	if reply.Status != 0 {
		b.status = reply.Status
	}
}
