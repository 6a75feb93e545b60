package report

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// view is a way to look at the page.
type view struct {
	name    string // of the screenshot
	scheme  string
	width   int64
	visible string // the class of the pictures that must be seen
}

func views() []view {
	return []view{
		{"light", "light", 1200, "light wide"},
		{"dark", "dark", 1200, "dark wide"},
		{"phone", "light", 390, "light narrow"},
		{"phone-dark", "dark", 390, "dark narrow"},
	}
}

// seen is what the page tells of itself.
type seen struct {
	ScrollWidth int          `json:"scrollWidth"`
	InnerWidth  int          `json:"innerWidth"`
	Background  string       `json:"background"`
	Headings    []string     `json:"headings"`
	Rows        int          `json:"rows"`
	Figures     []seenFigure `json:"figures"`
}

type seenFigure struct {
	ID       string   `json:"id"`
	Visible  []string `json:"visible"` // classes of the pictures that take room
	Label    string   `json:"label"`
	Width    float64  `json:"width"`
	Height   float64  `json:"height"`
	TextSize float64  `json:"textSize"` // the smallest, in pixels of the screen
	Texts    []string `json:"texts"`
	Colours  []string `json:"colours"` // of shapes that take room inside the picture and the window
	Outside  []string `json:"outside"` // texts that reach out of their picture
}

// lookScript is run in the page. A shape counts as drawn when its box isn't empty and lies inside its picture.
const lookScript = `(() => {
  const figures = [...document.querySelectorAll('figure')].map(figure => {
    const svgs = [...figure.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().width > 0);
    const result = {id: figure.id, visible: svgs.map(s => s.getAttribute('class')), label: '', width: 0, height: 0, textSize: 1e9, texts: [], colours: [], outside: []};
    for (const svg of svgs) {
      const box = svg.getBoundingClientRect();
      result.label = svg.getAttribute('aria-label');
      result.width = box.width;
      result.height = box.height;
      for (const text of svg.querySelectorAll('text')) {
        const b = text.getBoundingClientRect();
        result.texts.push(text.textContent);
        result.textSize = Math.min(result.textSize, parseFloat(getComputedStyle(text).fontSize) * box.width / svg.viewBox.baseVal.width);
        if (b.left < box.left - 1 || b.right > box.right + 1 || b.top < box.top - 2 || b.bottom > box.bottom + 2) result.outside.push(text.textContent);
      }
      const colours = new Set();
      for (const path of svg.querySelectorAll('path')) {
        const b = path.getBoundingClientRect();
        const inside = b.left >= box.left - 1 && b.right <= box.right + 1 && b.top >= box.top - 1 && b.bottom <= box.bottom + 1 && b.right <= innerWidth + 1;
        if (b.width + b.height > 2 && inside) for (const c of (path.getAttribute('style') || '').match(/#[0-9A-Fa-f]{6}/g) || []) colours.add(c.toUpperCase());
      }
      result.colours = [...colours];
    }
    return result;
  });
  return {
    scrollWidth: document.documentElement.scrollWidth, innerWidth: innerWidth, background: getComputedStyle(document.body).backgroundColor,
    headings: [...document.querySelectorAll('h1, h2')].map(h => h.textContent), rows: document.querySelectorAll('#table tbody tr').length, figures: figures,
  };
})()`

// browser starts a headless Chromium with an empty profile; it ends with the test.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Fatal("this test looks at the page in Chromium, and none is in PATH: install the package chromium")
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-sync", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.UserDataDir(t.TempDir()),
	}
	ctx, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, endBrowser := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Log("end Chromium: ", err)
		}
		endBrowser()
		endAllocator()
	})
	return ctx
}

// run runs an action in the browser.
func run[T any](t *testing.T, ctx context.Context, what string, action chromedp.Action[T]) T {
	t.Helper()
	result, err := chromedp.Run(ctx, action)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return result
}

// as makes the browser look at the page as v does.
func (v view) as() chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: v.width, Height: 900, DeviceScaleFactor: 1, Mobile: v.width < 600,
		})
		if err != nil {
			return err
		}
		_, err = chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: v.scheme}},
		})
		return err
	})
}

// TestPageInChromium looks at the pages of a report with all kinds of strategies and sweeps, and at that of a real run, of which it
// keeps screenshots.
func TestPageInChromium(t *testing.T) {
	ctx := browser(t)
	t.Run("everything", func(t *testing.T) { lookAtPage(t, ctx, fixture(1, 1), false) })
	t.Run("a run", func(t *testing.T) { lookAtPage(t, ctx, runReport(t), *update) })
}

// lookAtPage looks at the page of r in all views.
func lookAtPage(t *testing.T, ctx context.Context, r Report, keep bool) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "report.html")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteHTML(out, r); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	address := (&url.URL{Scheme: "file", Path: file}).String()
	var backgrounds []string
	for _, v := range views() {
		run(t, ctx, "set "+v.name, v.as())
		run(t, ctx, "open the page", chromedp.Navigate(address))
		got := run(t, ctx, "look at the page", chromedp.Evaluate[seen](lookScript))
		t.Run(v.name, func(t *testing.T) { v.check(t, r, got) })
		backgrounds = append(backgrounds, got.Background)
		shot := run(t, ctx, "take a screenshot", chromedp.FullScreenshot(100))
		size, err := png.DecodeConfig(bytes.NewReader(shot))
		if err != nil || size.Width != int(v.width) || size.Height < topHeight {
			t.Errorf("%s: the screenshot has %d x %d pixels (%v)", v.name, size.Width, size.Height, err)
		}
		if keep && v.name != "phone-dark" {
			if err := os.WriteFile(filepath.Join("..", "..", "docs", "images", "bench-"+v.name+".png"), topOf(t, shot), 0o644); err != nil {
				t.Error(err)
			}
		}
	}
	if backgrounds[0] == backgrounds[1] {
		t.Errorf("the page has the background %s in light and dark", backgrounds[0])
	}
}

// topHeight is how much of a screenshot the documentation shows, in pixels.
const topHeight = 2400

// topOf is the upper part of a screenshot of the whole page.
func topOf(t *testing.T, shot []byte) []byte {
	t.Helper()
	whole, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		t.Fatal("read the screenshot: ", err)
	}
	top := image.NewRGBA(image.Rect(0, 0, whole.Bounds().Dx(), topHeight))
	draw.Draw(top, top.Bounds(), whole, image.Point{}, draw.Src)
	var out bytes.Buffer
	if err := png.Encode(&out, top); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func (v view) check(t *testing.T, r Report, got seen) {
	if got.ScrollWidth > got.InnerWidth || got.InnerWidth != int(v.width) {
		t.Errorf("the page is %d pixels wide in a window of %d (wanted %d)", got.ScrollWidth, got.InnerWidth, v.width)
	}
	if got.Rows != len(ran(r.Strategies)) {
		t.Errorf("the table has %d rows for %d strategies", got.Rows, len(ran(r.Strategies)))
	}
	for _, want := range []string{headline(r), "What to do", "What went wrong", "What the strategies are", "Conditions"} {
		if !slices.Contains(got.Headings, want) {
			t.Errorf("the heading %q is missing in %q", want, got.Headings)
		}
	}
	plots := pictures(r)
	if len(got.Figures) != len(plots) {
		t.Fatalf("%d figures for %d plots", len(got.Figures), len(plots))
	}
	colours := theme{dark: v.scheme == "dark"}
	for i, p := range plots {
		f := got.Figures[i]
		if f.ID != "plot-"+p.name || !slices.Equal(f.Visible, []string{v.visible}) {
			t.Errorf("%s: seen are the pictures %q of %s, and only %q should be", p.name, f.Visible, f.ID, v.visible)
			continue
		}
		if f.Label != p.alt || p.alt == "" {
			t.Errorf("%s is labelled %q", p.name, f.Label)
		}
		if f.Width < 0.8*float64(min(v.width, 1000)) || f.Height < 150 || f.TextSize < 10 {
			t.Errorf("%s is %.0f x %.0f pixels large, its smallest text has %.1f", p.name, f.Width, f.Height, f.TextSize)
		}
		if len(f.Outside) > 0 {
			t.Errorf("%s: the texts %q reach out of the picture", p.name, f.Outside)
		}
		for _, s := range series(p.chart) {
			colour := s.pen.colour(colours)
			if c := fmt.Sprintf("#%02X%02X%02X", colour.R, colour.G, colour.B); !slices.Contains(f.Colours, c) {
				t.Errorf("%s: nothing is drawn in %s, the colour of %q, inside the picture; seen: %s", p.name, c, s.title, strings.Join(f.Colours, " "))
			}
			if !slices.Contains(f.Texts, s.title) {
				t.Errorf("%s: %q isn't in its texts %q", p.name, s.title, f.Texts)
			}
		}
	}
}

// series are what a chart has to show.
func series(c chart) []entry {
	var all []entry
	switch c := c.(type) {
	case bars:
		for _, b := range c.bars {
			all = append(all, entry{b.title, b.pen})
		}
	case lines:
		all = c.entries()
	case strips:
		for _, s := range c.strips {
			all = append(all, entry{s.title, s.pen})
		}
	}
	return all
}
