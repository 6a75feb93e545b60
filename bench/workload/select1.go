package workload

import "context"

// select1 is the constant of everybody's first benchmark. Any client's answer is right for any other's, so a mix-up shows
// only where it brings half an answer, or more than one.
func select1() Workload {
	return Workload{
		Name:      "select1",
		Title:     "SELECT 1",
		Tables:    noTables,
		NewCaller: func(Place, int, uint64) Caller { return constantReader{} },
	}
}

var (
	selectOne = Statement{Name: "select_one", SQL: "SELECT 1"}
	one       = answer{asked: "for the number 1", thing: "number", tag: "SELECT 1", row: []string{"1"}}
)

type constantReader struct{}

func (constantReader) Call(ctx context.Context, s Session) error {
	return alone(ctx, s, selectOne, one)
}

func noTables(Place) []string { return nil }
