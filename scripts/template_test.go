package scripts

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func testApp() App {
	return App{
		Name: "my-app", User: "ubuntu", Path: "/srv/a", Ports: [2]uint16{8080, 8081}, Include: "/etc/nginx/conf.d/service-url.inc",
		ServerName: "_", Folder: "/etc/nginx/conf.d", MaxBodySize: "100m", ResponseTimeout: 1500 * time.Millisecond,
	}
}

// No word of a template is left in what reaches the host, whatever the inputs.
func TestTemplatesAreFilledIn(t *testing.T) {
	for name, change := range map[string]func(*App){
		"the defaults":    func(*App) {},
		"trusted proxies": func(a *App) { a.TrustedProxies = []string{"10.0.0.0/16", "2001:db8::/56"} },
		"no realip":       func(a *App) { a.NoRealIP = true },
		"no dry run":      func(a *App) { a.NoDryRun = true },
		"their site":      func(a *App) { a.TheirSite = true },
		"one socket":      func(a *App) { a.OneSocket = true },
	} {
		t.Run(name, func(t *testing.T) {
			app := testApp()
			change(&app)
			all := app.SiteConf() + app.IncludeConf(8081) + app.LateConf() + app.Unit()
			if left := regexp.MustCompile(`@[A-Z_0-9]+@`).FindString(all); left != "" {
				t.Errorf("%s is left", left)
			}
			if strings.Contains(all, "dry_run") == app.NoDryRun {
				t.Errorf("dry_run and a host without it %t", app.NoDryRun)
			}
			if strings.Contains(all, "realip_remote_addr") == app.NoRealIP {
				t.Errorf("$realip_remote_addr and a host without its module %t", app.NoRealIP)
			}
		})
	}
}

func TestTheSiteSaysWhatTheInputsSay(t *testing.T) {
	app := testApp()
	app.TrustedProxies, app.ServerName = []string{"10.0.0.0/16", "2001:db8::/56"}, "*.example.com [2001:db8::1] _ www.example.com"
	site, include := app.SiteConf(), app.IncludeConf(8081)
	for _, want := range []string{
		"    client_max_body_size 100m;\n", "proxy_read_timeout 1500ms;", "    set_real_ip_from 10.0.0.0/16;\n    set_real_ip_from 2001:db8::/56;\n    real_ip_header X-Forwarded-For;\n",
		"geo $realip_remote_addr $my_app_trusted {\n    default '';\n    10.0.0.0/16 1;\n    2001:db8::/56 1;\n}\n",
		"X-Forwarded-Proto $my_app_proto;", "X-Forwarded-Host $my_app_asked;", "X-Forwarded-Port $my_app_port;", "Forwarded $my_app_forwarded;",
		"    keepalive_timeout 4100s;\n", "    include /etc/nginx/my-app.d/*.conf;\n", `"~ $"                          www.example.com;`,
	} {
		if !strings.Contains(site, want) {
			t.Errorf("the site lacks %q", want)
		}
	}
	for _, want := range []string{"set $my_app_slot 8081;\nset $my_app_other 8080;\n", "proxy_read_timeout 1500ms;"} {
		if !strings.Contains(include, want) {
			t.Errorf("the include lacks %q", want)
		}
	}
	app.ServerName = "*.example.com"
	if site := app.SiteConf(); !strings.Contains(site, `"~ $"                          $my_app_address;`) {
		t.Error("a request without a Host gets an invented one")
	}
	if app.SiteID() == testApp().SiteID() {
		t.Error("two different sites have one name")
	}
}

// By default nginx takes names of variables of 46 characters: variables_hash_bucket_size is 64, of which two pointers and a length go
// off. Only one word follows the application's name, or an application of the name's own could have the same.
func TestTheLongestApplicationNameFitsNginx(t *testing.T) {
	app := testApp()
	app.Name, app.TrustedProxies = strings.Repeat("a", 32), []string{"10.0.0.0/8"}
	names := regexp.MustCompile(`\$(a{32}[a-z_]*)`).FindAllStringSubmatch(app.SiteConf()+app.IncludeConf(8080)+app.LateConf(), -1)
	if len(names) < 30 {
		t.Fatalf("variables %q", names)
	}
	for _, name := range names {
		if len(name[1]) > 46 || strings.Count(name[1], "_") != 1 {
			t.Errorf("variable %s has %d characters", name[1], len(name[1]))
		}
	}
}
