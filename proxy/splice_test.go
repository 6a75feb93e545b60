package proxy

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// sent is what send would pass on.
func (p *splice) sent() []byte {
	p.commit()
	return p.out
}

// Whatever is kept, cut and inserted in whatever order, what goes out is what
// was kept and inserted, in that order.
func TestSpliceKeepsTheOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		src := make([]byte, r.IntN(100))
		for i := range src {
			src[i] = byte(r.Uint32())
		}
		p := splice{src: src}
		var want []byte
		for p.pos < len(src) || r.IntN(3) > 0 {
			n := r.IntN(len(p.rest()) + 1)
			switch r.IntN(3) {
			case 0:
				want = append(want, p.rest()[:n]...)
				p.keep(n)
			case 1:
				p.cut(n)
			case 2:
				put := bytes.Repeat([]byte{byte(n)}, n%7)
				want = append(want, put...)
				p.out = append(p.insert(), put...)
			}
		}
		if got := p.sent(); !bytes.Equal(got, want) {
			t.Fatalf("got %x, want %x", got, want)
		}
	}
}

// As long as everything is kept nothing is copied.
func TestSpliceCopiesNothingUnlessItMust(t *testing.T) {
	p := splice{src: make([]byte, 100)}
	p.keep(40)
	p.keep(60)
	if len(p.out) != 0 || p.start != 0 {
		t.Errorf("%d bytes were copied", len(p.out))
	}
}
