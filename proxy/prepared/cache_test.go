package prepared

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// model is a cache in the simplest form: the names, the last used first.
type model struct {
	size int
	list []*Statement
}

func (m *model) has(s *Statement) bool {
	i := slices.Index(m.list, s)
	if i < 0 {
		return false
	}
	m.list = slices.Insert(slices.Delete(m.list, i, i+1), 0, s)
	return true
}

func (m *model) add(s *Statement) *Statement {
	if m.has(s) {
		return nil
	}
	m.list = slices.Insert(m.list, 0, s)
	return m.excess()
}

func (m *model) excess() *Statement {
	if len(m.list) <= m.size {
		return nil
	}
	last := m.list[len(m.list)-1]
	m.list = m.list[:len(m.list)-1]
	return last
}

// order lists the cache from the last used on.
func (c *Cache) order() (list []*Statement) {
	if len(c.nodes) == 0 {
		return nil
	}
	for i := c.nodes[0].next; i != 0; i = c.nodes[i].next {
		list = append(list, c.nodes[i].s)
	}
	return list
}

func TestCacheBehavesLikeAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		catalog := NewCatalog("p")
		var all []*Statement
		for i := range 12 {
			all = append(all, catalog.Intern(rest(fmt.Sprint("select ", i))))
		}
		size := rapid.IntRange(-1, 8).Draw(t, "size")
		c, m := NewCache(size), &model{size: max(size, 1)}
		var closing []*Statement // evicted, its reference is ours
		evicted := func(got, want *Statement) {
			if got != want {
				t.Fatalf("evicted %v, the model %v", got, want)
			}
			if got != nil {
				closing = append(closing, got)
			}
		}
		statement := rapid.SampledFrom(all)
		t.Repeat(map[string]func(*rapid.T){
			"has": func(t *rapid.T) {
				s := statement.Draw(t, "s")
				if c.Has(s) != m.has(s) {
					t.Fatal("they disagree")
				}
			},
			"add": func(t *rapid.T) {
				s := statement.Draw(t, "s")
				evicted(c.Add(s), m.add(s))
			},
			"excess": func(t *rapid.T) { evicted(c.Excess(), m.excess()) },
			"restore": func(t *rapid.T) {
				if len(closing) == 0 {
					return
				}
				s := closing[0]
				closing = closing[1:]
				c.Restore(s)
				s.Release()
				if !slices.Contains(m.list, s) {
					m.list = append(m.list, s)
				}
			},
			"remove": func(t *rapid.T) {
				s := statement.Draw(t, "s")
				i := slices.Index(m.list, s)
				if c.Remove(s) != (i >= 0) {
					t.Fatal("they disagree")
				}
				if i >= 0 {
					m.list = slices.Delete(m.list, i, i+1)
				}
			},
			"clear": func(*rapid.T) {
				c.Clear()
				m.list = nil
			},
			"": func(t *rapid.T) {
				if !slices.Equal(c.order(), m.list) || c.Len() != len(m.list) {
					t.Fatalf("%v, the model %v", c.order(), m.list)
				}
				for _, s := range all {
					want := int64(1 + count(m.list, s) + count(closing, s))
					if got := s.refs.Load(); got != want {
						t.Fatalf("%s has %d references, should have %d", s.Name(), got, want)
					}
				}
			},
		})
		c.Clear()
		for _, s := range append(all, closing...) {
			s.Release()
		}
		if catalog.Len() != 0 {
			t.Fatalf("%d statements are left", catalog.Len())
		}
	})
}

func count(list []*Statement, s *Statement) (n int) {
	for _, x := range list {
		if x == s {
			n++
		}
	}
	return n
}

func TestCacheReusesItsPlaces(t *testing.T) {
	catalog, c := NewCatalog("p"), NewCache(3)
	for i := range 1000 {
		s := catalog.Intern(rest(fmt.Sprint("select ", i)))
		if evicted := c.Add(s); evicted != nil {
			evicted.Release()
		}
		s.Release()
	}
	if c.Len() != 3 || catalog.Len() != 3 || len(c.nodes) > 5 {
		t.Errorf("%d listed, %d in the catalog, %d places", c.Len(), catalog.Len(), len(c.nodes))
	}
}
