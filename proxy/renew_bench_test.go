package proxy

import (
	"testing"

	"carpool/proxy/wire"
)

// BenchmarkBoundBatch is what an exchange does for Bind, Describe, Execute and
// Sync of a statement that is there, as libpq sends them, with their answers.
func BenchmarkBoundBatch(b *testing.B) {
	r := newRig(100)
	r.rigClient(wire.Parse, "P0_1", "select")
	r.rigClient(wire.Sync, "", "")
	r.server(wire.ParseComplete, nil)
	ready := []byte{wire.TxIdle}
	r.server(wire.ReadyForQuery, ready)
	out := make([]byte, 0, 1024)
	name, portal, body, row, tag := []byte("P0_1"), []byte{}, []byte("P\x00"), []byte("\x00\x01x\x00aaaabbccccddeeeeff"), []byte("SELECT 1\x00")
	x := &r.exchange
	b.ReportAllocs()
	for b.Loop() {
		x.bind(out, portal, name, 6, 30, nil)
		x.describe(out, body)
		x.client(wire.Execute)
		x.client(wire.Sync)
		x.server(wire.BindComplete, nil)
		x.server(wire.RowDescription, row)
		x.server(wire.DataRow, nil)
		x.server(wire.CommandComplete, tag)
		x.server(wire.ReadyForQuery, ready)
	}
}
