package scripts

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// A load balancer says the host's address in the place of a name, over TLS no name at all, and no header
// besides that an application might go by.
func TestTheQuestionOfALoadBalancer(t *testing.T) {
	var asked []string
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := ""
		if r.TLS != nil {
			name = r.TLS.ServerName
		}
		asked = append(asked, fmt.Sprintf("%s %s %q %v", r.Host, r.RequestURI, name, r.Header))
		if r.Host != "shop.example" {
			w.WriteHeader(http.StatusNotFound)
		}
	})
	plain, secure := httptest.NewServer(site), httptest.NewTLSServer(site)
	defer plain.Close()
	defer secure.Close()
	for _, tt := range []struct{ name, url, got, named string }{
		{"HTTP", plain.URL, "HTTP/1.1 404 Not Found\n", "HTTP/1.1 200 OK\n"},
		{"TLS", secure.URL, "HTTP/1.1 404 Not Found\n", "HTTP/1.1 200 OK\n"},
		{"nobody", fmt.Sprintf("http://127.0.0.1:%d", spare(t)), "curl: (7) ", "curl: (7) "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked = nil
			u, err := url.Parse(tt.url)
			if err != nil {
				t.Fatal(err)
			}
			out := bash(t, fmt.Sprintf("app=shop tag= verify_host=shop.example balancer='%s %s %s 5 /health?a=[1]&b=2'\n",
				u.Scheme, u.Hostname(), u.Port())+read(t, "lib/base.sh")+read(t, "lib/probe.sh")+read(t, "ask.sh"))
			if got, named, _ := strings.Cut(out, "named="); !strings.HasPrefix(got, "got="+tt.got) ||
				!strings.HasPrefix(named, tt.named) || strings.Count(out, "\n") != 2 {
				t.Errorf("it says %q, want %q and %q", out, tt.got, tt.named)
			}
			want := `[127.0.0.1 /health?a=[1]&b=2 "" map[] shop.example /health?a=[1]&b=2 "" map[]]`
			if tt.name == "nobody" {
				want = "[]"
			}
			if got := fmt.Sprint(asked); got != want {
				t.Errorf("it asks %s, want %s", got, want)
			}
		})
	}
}
