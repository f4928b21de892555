package scripts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What certbot has got for a site that went back to plain HTTP was not renewed meanwhile, since the site did not
// answer for it: it is asked again before the site shows it.
func TestACertificateThatTheSiteDoesNotShowIsAskedForAgain(t *testing.T) {
	const shown = "ssl_certificate /etc/letsencrypt/live/deploy-action-shop/fullchain.pem;"
	for _, tt := range []struct{ name, mark, own, site, want string }{
		{"the first", "", "", "server {}", "asked, new"},
		{"shown", "acme-1-2", "", shown, "already"},
		{"got once, and not shown", "acme-1-2", "", "server {}", "asked, new"},
		{"got once, and another one is shown", "acme-1-2", "", "ssl_certificate /etc/own.pem;", "asked, new"},
		{"for other names", "acme-1-3", "", shown, "asked, new"},
		{"one's own, there", "acme-1-2", "PEM", "server {}", "already"},
		{"one's own, another", "0123", "PEM", "server {}", "new"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			if err := os.Mkdir(filepath.Join(root, "lib"), 0o700); err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{"shop.conf": tt.site, "lib/certificate": tt.mark} {
				if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, code := secured(t, root, "echo asked", Values{"certificate_id": "acme-1-2", "tls_certificate": tt.own})
			got := strings.TrimSpace(out[strings.LastIndex(out, "certificate=")+len("certificate="):])
			got, _, _ = strings.Cut(got, "\n")
			if strings.Contains(out, "asked") {
				got = "asked, " + got
			}
			if code != 0 || got != tt.want {
				t.Errorf("exit code %d, %q, want %q:\n%s", code, got, tt.want, out)
			}
		})
	}
}
