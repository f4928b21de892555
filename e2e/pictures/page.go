package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer/html"
)

// head looks like the page of a run. The script draws each chart as GitHub does, and leaves its
// error where one can't be read.
const head = `<!doctype html><meta charset="utf-8"><style>
body { margin: 0; padding: 24px 32px; width: 1100px; ` +
	`font: 14px/1.5 "Noto Sans", "DejaVu Sans", sans-serif; color: #1f2328; }
h3, h4 { margin: 16px 0; line-height: 1.25; } h3 { font-size: 1.25em; } h4 { font-size: 1em; }
table { border-collapse: collapse; margin: 16px 0; } ` +
	`th, td { border: 1px solid #d1d9e0; padding: 6px 13px; } tr:nth-child(2n) { background: #f6f8fa; }
code { background: #818b981f; border-radius: 6px; padding: .2em .4em; font: 85% "DejaVu Sans Mono", monospace; }
pre { background: #f6f8fa; border-radius: 6px; padding: 16px; overflow: hidden; } ` +
	`pre code { background: none; padding: 0; }
pre:has(code.language-mermaid) { background: none; padding: 0; } a { color: #0969da; text-decoration: none; }
</style><body>`

const script = `<script src="file://%s"></script><script>
mermaid.initialize({ startOnLoad: false, securityLevel: "strict" });
(async () => {
  let n = 0;
  for (const code of document.querySelectorAll("code.language-mermaid")) {
    try {
      await mermaid.parse(code.textContent);
      const { svg } = await mermaid.render("chart" + n++, code.textContent);
      code.parentElement.outerHTML = "<div data-chart>" + svg + "</div>";
    } catch (e) { document.body.dataset.error = e.message; }
  }
  document.body.dataset.height = Math.ceil(document.body.getBoundingClientRect().height);
})();
</script>`

// photograph renders a summary and takes its picture. A chart that mermaid refuses is an error, and
// so is one that is not there.
func photograph(ctx context.Context, mermaid, summary, file string) error {
	var page bytes.Buffer
	page.WriteString(head)
	markdown := goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(html.WithUnsafe()))
	// What is folded on GitHub's page would be missed in a picture.
	if err := markdown.Convert([]byte(strings.ReplaceAll(summary, "<details>", "<details open>")), &page); err != nil {
		return err
	}
	fmt.Fprintf(&page, script, mermaid)
	dir, err := os.MkdirTemp("", "pictures.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	source := filepath.Join(dir, "page.html")
	if err := os.WriteFile(source, page.Bytes(), 0o600); err != nil {
		return err
	}
	dom, err := chromium(ctx, dir, "--dump-dom", "file://"+source)
	if err != nil {
		return err
	}
	if refused := regexp.MustCompile(`data-error="([^"]*)"`).FindSubmatch(dom); refused != nil {
		return fmt.Errorf("mermaid: %s", refused[1])
	}
	height := regexp.MustCompile(`data-height="([0-9]+)"`).FindSubmatch(dom)
	if height == nil || !bytes.Contains(dom, []byte("<div data-chart")) {
		return errors.New("the page has no chart")
	}
	_, err = chromium(ctx, dir, "--screenshot="+file, "--hide-scrollbars",
		fmt.Sprintf("--window-size=1164,%s", height[1]), "file://"+source)
	return err
}

func chromium(ctx context.Context, dir string, args ...string) ([]byte, error) {
	args = append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--virtual-time-budget=20000",
		"--user-data-dir=" + filepath.Join(dir, "profile"),
	}, args...)
	out, err := exec.CommandContext(ctx, "chromium", args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("chromium: %w\n%s", err, exit.Stderr)
	}
	return out, err
}
