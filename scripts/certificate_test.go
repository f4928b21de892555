package scripts

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What certbot has got for a site that went back to plain HTTP was not renewed meanwhile, since the site did not
// answer for it: it is asked again before the site shows it.
func TestACertificateThatTheSiteDoesNotShowIsAskedForAgain(t *testing.T) {
	for _, tt := range []struct{ name, mark, own, site, want string }{
		{"the first", "", "", "server {}", "asked new"},
		{"shown", "acme-1-2", "", "ssl_certificate /etc/letsencrypt/live/deploy-action-shop/fullchain.pem;", "already"},
		{"got once, and not shown", "acme-1-2", "", "server {}", "asked new"},
		{"got once, and another one is shown", "acme-1-2", "", "ssl_certificate /etc/own.pem;", "asked new"},
		{"for other names", "acme-1-3", "", "ssl_certificate /etc/letsencrypt/live/deploy-action-shop/x;", "asked new"},
		{"one's own, there", "acme-1-2", "PEM", "server {}", "already"},
		{"one's own, another", "0123", "PEM", "server {}", "put new"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{"site": tt.site, "mark": tt.mark, ".lock.holder": "t\n"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			text, err := Compose(Certificate, Values{
				"app": "shop", "path": dir, "lock_token": "t", "step_id": "", "undo": "no", "ports": "8080 8081",
				"certificate_id": "acme-1-2", "tls_certificate": tt.own, "tls_key": "", "site_names": "shop.example",
				"mail": "a@b.example", "acme_server": "https://acme.example", "site_file": dir + "/site",
			})
			if err != nil {
				t.Fatal(err)
			}
			const run = "main \"$@\" </dev/null\n"
			text = bytes.Replace(text, []byte(run), []byte("certificate_mark=$path/mark\nfree_root() { :; }\n"+
				"write_root() { cat >\"$1\"; }\nget_one() { echo asked; }\nput_own() { echo put; }\n"+run), 1)
			cmd := exec.CommandContext(t.Context(), "bash", "-s")
			cmd.Stdin = bytes.NewReader(text)
			out, err := cmd.CombinedOutput()
			if got := strings.ReplaceAll(strings.TrimSpace(string(out)), "\ncertificate=", " "); err != nil ||
				!strings.HasSuffix(got, tt.want) || strings.Contains(got, "asked") != strings.Contains(tt.want, "asked") {
				t.Errorf("%v: %q, want %q", err, got, tt.want)
			}
		})
	}
}
