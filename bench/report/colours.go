package report

import "image/color"

// theme is the colours of a picture besides those of its strategies.
type theme struct {
	dark       bool
	background color.NRGBA
	ink        color.NRGBA
	faint      color.NRGBA // of labels
	grid       color.NRGBA
}

func lightTheme() theme {
	return theme{background: hex(0xFFFFFF), ink: hex(0x1F2328), faint: hex(0x59636E), grid: hex(0xE2E6EA)}
}

func darkTheme() theme {
	return theme{dark: true, background: hex(0x14181F), ink: hex(0xE8ECF1), faint: hex(0xA3ACB8), grid: hex(0x2C333D)}
}

func hex(rgb uint32) color.NRGBA {
	return color.NRGBA{R: uint8(rgb >> 16), G: uint8(rgb >> 8), B: uint8(rgb), A: 0xFF}
}

// pen is how a strategy is drawn, everywhere. Colour is never all that tells two apart: the dashes and the mark differ too.
type pen struct {
	light, dark color.NRGBA
	dashes      []float64 // lengths of line and gap, in points; none: a whole line
	mark        mark
}

// mark is the shape of a point.
type mark int

const (
	disc mark = iota
	square
	triangle
	diamond
)

func (p pen) colour(t theme) color.NRGBA {
	if t.dark {
		return p.dark
	}
	return p.light
}

// penOf is the pen of a strategy that carpool bench knows.
func penOf(name string) (pen, bool) {
	dashed, dotted, broken := []float64{7, 3}, []float64{2, 2.5}, []float64{8, 3, 2, 3}
	switch name {
	case "none":
		return pen{hex(0xD1480A), hex(0xFF8A4C), nil, disc}, true
	case "global":
		return pen{hex(0x7A7216), hex(0xD6CB63), dotted, square}, true
	case "global-unsafe":
		return pen{hex(0xBE185D), hex(0xFF7AB0), dotted, triangle}, true
	case "driver-pool":
		return pen{hex(0xB27B00), hex(0xF2B93B), dashed, square}, true
	case "direct":
		return pen{hex(0x57606A), hex(0xC3CAD3), dashed, diamond}, true
	case "carpool-connect":
		return pen{hex(0x2B8FCB), hex(0x85CCF7), dashed, triangle}, true
	case "carpool":
		return pen{hex(0x0B57A4), hex(0x4C9EF5), nil, disc}, true
	case "carpool-session":
		return pen{hex(0x6A4BB5), hex(0xB9A3F5), broken, square}, true
	case "pgbouncer":
		return pen{hex(0x00796B), hex(0x3CC9B4), nil, diamond}, true
	case "pgbouncer-connect":
		return pen{hex(0x3F9142), hex(0x98DB7F), dashed, triangle}, true
	case "python-psycopg2-none":
		return pen{hex(0x8A4B2A), hex(0xDDA27C), dotted, disc}, true
	case "python-psycopg2-global":
		return pen{hex(0x8C3A6B), hex(0xE39BCB), broken, triangle}, true
	case "python-psycopg2-global-unsafe":
		return pen{hex(0xA61E1E), hex(0xF59A9A), broken, disc}, true
	case "python-psycopg2-pool":
		return pen{hex(0x6B5B2E), hex(0xC9B783), dotted, diamond}, true
	case "python-sqlalchemy-pool":
		return pen{hex(0x9C5C00), hex(0xE8B27A), broken, diamond}, true
	case "python-carpool-connect":
		return pen{hex(0x3B6E8F), hex(0x9FC4DA), dotted, triangle}, true
	}
	return pen{}, false
}

// pens gives each strategy of r the same pen in every picture, those that carpool bench doesn't know in their order.
func pens(r Report) map[string]pen {
	given := make(map[string]pen)
	spare := []pen{
		{hex(0x5C2E91), hex(0xCFA8FF), []float64{7, 3}, disc},
		{hex(0x2F6B1F), hex(0xB5E09A), []float64{8, 3, 2, 3}, square},
		{hex(0x4B3FA0), hex(0xA7A0F0), []float64{2, 2.5}, diamond},
		{hex(0x7D6608), hex(0xE0CF7A), []float64{7, 3}, triangle},
	}
	strangers := 0
	give := func(strategies []Strategy) {
		for _, s := range strategies {
			if _, ok := given[s.Name]; ok {
				continue
			}
			p, known := penOf(s.Name)
			if !known {
				p = spare[strangers%len(spare)]
				strangers++
			}
			given[s.Name] = p
		}
	}
	give(r.Strategies)
	for _, sweep := range r.Sweeps {
		for _, point := range sweep.Points {
			give(point.Strategies)
		}
	}
	return given
}
