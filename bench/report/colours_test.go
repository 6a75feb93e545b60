package report

import (
	"image/color"
	"math"
	"testing"
)

// luminance is the relative luminance of WCAG.
func luminance(c color.NRGBA) float64 {
	linear := func(v uint8) float64 {
		x := float64(v) / 255
		if x <= 0.04045 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B)
}

func contrast(a, b color.NRGBA) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func strategyNames() []string {
	return []string{
		"none", "global", "global-unsafe", "driver-pool", "direct", "carpool-connect", "carpool", "carpool-session", "pgbouncer",
		"pgbouncer-connect", "python-psycopg2-none", "python-psycopg2-global", "python-psycopg2-global-unsafe", "python-psycopg2-pool", "python-sqlalchemy-pool",
		"python-carpool-connect",
	}
}

// TestColours checks that every strategy can be seen on its background (WCAG wants 3 for graphics), and that two whose
// colours are close, as somebody sees them who can't tell red from green, differ in dashes or mark.
func TestColours(t *testing.T) {
	for _, theme := range []theme{lightTheme(), darkTheme()} {
		for _, text := range []color.NRGBA{theme.ink, theme.faint} {
			if got := contrast(text, theme.background); got < 4.5 {
				t.Errorf("text %v on %v has a contrast of %.1f", text, theme.background, got)
			}
		}
		seen := make(map[color.NRGBA]string)
		for i, name := range strategyNames() {
			p, ok := penOf(name)
			if !ok {
				t.Fatalf("%s has no pen", name)
			}
			c := p.colour(theme)
			if got := contrast(c, theme.background); got < 3 {
				t.Errorf("%s (dark %v) has a contrast of %.1f", name, theme.dark, got)
			}
			if other, taken := seen[c]; taken {
				t.Errorf("%s and %s have the same colour", name, other)
			}
			seen[c] = name
			for _, other := range strategyNames()[:i] {
				q, _ := penOf(other)
				alike := len(p.dashes) == len(q.dashes) && (len(p.dashes) == 0 || p.dashes[0] == q.dashes[0]) && p.mark == q.mark
				if d := distance(deuteranope(c), deuteranope(q.colour(theme))); alike && d < 40 {
					t.Errorf("%s and %s (dark %v) are drawn alike, at a distance of %.0f", name, other, theme.dark, d)
				}
			}
		}
	}
}

// deuteranope is about what is left of a colour without the green cones.
func deuteranope(c color.NRGBA) [3]float64 {
	r, g, b := float64(c.R), float64(c.G), float64(c.B)
	return [3]float64{0.625*r + 0.375*g, 0.7*r + 0.3*g, 0.3*g + 0.7*b}
}

func distance(a, b [3]float64) float64 {
	return math.Sqrt((a[0]-b[0])*(a[0]-b[0]) + (a[1]-b[1])*(a[1]-b[1]) + (a[2]-b[2])*(a[2]-b[2]))
}

func TestStrangersKeepTheirPens(t *testing.T) {
	r := Report{Strategies: []Strategy{{Name: "none"}, {Name: "odyssey"}, {Name: "pgcat"}}}
	given := pens(r)
	if given["odyssey"].light == given["pgcat"].light || given["odyssey"].light == given["none"].light {
		t.Errorf("the pens are %v", given)
	}
	r.Sweeps = []Sweep{{Points: []Point{{Value: 1, Strategies: []Strategy{{Name: "pgcat"}}}}}}
	if again := pens(r); again["pgcat"].light != given["pgcat"].light {
		t.Error("a strategy has another colour in a sweep")
	}
}

func TestKnownStrategiesAreDescribed(t *testing.T) {
	for _, name := range strategyNames() {
		if d := Describe(name); d.Title == name || d.Meaning == "" || d.Meaning == Describe("odyssey").Meaning {
			t.Errorf("%s is described as %+v", name, d)
		}
	}
}
