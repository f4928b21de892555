package scripts

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func testApp() App {
	return App{
		Name: "my-app", User: "ubuntu", Path: "/srv/a", Ports: [2]uint16{
			8080,
			8081,
		}, Include: "/etc/nginx/conf.d/service-url.inc",
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
		"no Host":         func(a *App) { a.TheirSite, a.Hostless = true, true },
		"one socket":      func(a *App) { a.OneSocket = []string{"80"} },
		"challenges":      func(a *App) { a.TLS = TLS{Challenges: true} },
		"HTTPS": func(a *App) {
			a.TLS = TLS{Challenges: true, Certificate: a.ACMECertificate(), HSTS: "300", HTTP2On: true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			app := testApp()
			change(&app)
			all := app.SiteConf() + app.IncludeConf(8081) + app.LateConf() + app.EntryConf() + app.Unit() + app.ProcessUnit()
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

// What runs beside the process that serves may do no more than that.
func TestAllProcessesAreConfinedAlike(t *testing.T) {
	app := testApp()
	confines := regexp.MustCompile(`(?m)^(User|NoNewPrivileges|Private|Protect|Restrict|Lock|LimitCORE).*$`)
	unit, process := app.Unit(), app.ProcessUnit()
	if got, want := confines.FindAllString(process, -1), confines.FindAllString(unit, -1); len(want) < 12 ||
		!slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	app.StopSecs = 7
	for _, want := range []string{
		"WorkingDirectory=/srv/a\n", "\nTimeoutStopSec=7\n", "i=%i; p=$${i%%%%-*}; cd /srv/a/slots/$$p && SLOT=$$p exec ",
	} {
		if !strings.Contains(app.ProcessUnit(), want) {
			t.Errorf("%q is not in\n%s", want, app.ProcessUnit())
		}
	}
}

func TestTheSiteSaysWhatTheInputsSay(t *testing.T) {
	app := testApp()
	app.TrustedProxies, app.ServerName = []string{
		"10.0.0.0/16",
		"2001:db8::/56",
	}, "*.example.com [2001:db8::1] _ www.example.com"
	site, include := app.SiteConf(), app.IncludeConf(8081)
	for _, want := range []string{
		"    client_max_body_size 100m;\n", "proxy_read_timeout 1500ms;", "    set_real_ip_from 10.0.0.0/16;\n    " +
			"set_real_ip_from 2001:db8::/56;\n    real_ip_header X-Forwarded-For;\n",
		"geo $realip_remote_addr $da_my_app_trusted {\n    default '';\n    10.0.0.0/16 1;\n    2001:db8::/56 1;\n}\n",
		"X-Forwarded-Proto $da_my_app_proto;", "X-Forwarded-Host $da_my_app_asked;",
		"X-Forwarded-Port $da_my_app_port;", "Forwarded $da_my_app_forwarded;",
		"    keepalive_timeout 4100s;\n", "    include /etc/nginx/my-app.d/*.conf;\n",
		`"~ $"                          www.example.com;`,
	} {
		if !strings.Contains(site, want) {
			t.Errorf("the site lacks %q", want)
		}
	}
	for _, want := range []string{
		"set $da_my_app_fallback 8081;\nset $da_my_app_other 8080;\n",
		"proxy_read_timeout 1500ms;",
	} {
		if !strings.Contains(include, want) {
			t.Errorf("the include lacks %q", want)
		}
	}
	app.ServerName = "*.example.com"
	if site := app.SiteConf(); !strings.Contains(site, `"~ $"                          $da_my_app_address;`) {
		t.Error("a request without a Host gets an invented one")
	}
	if app.SiteID() == testApp().SiteID() {
		t.Error("two different sites have one name")
	}
}

// A block that says no Host passes on the one in proxy_pass, and goes on doing so; where the action
// has its own site, or theirs says one, requests go to the groups.
func TestABlockWithoutAHostSendsTheOneThatItSent(t *testing.T) {
	const groups, address = "http://my_app_$da_my_app_slot$da_my_app_kept;", "http://127.0.0.1:$da_my_app_slot;"
	for _, tt := range []struct {
		theirs, hostless bool
		want             string
	}{{true, true, address}, {true, false, groups}, {false, true, groups}} {
		app := testApp()
		app.TheirSite, app.Hostless = tt.theirs, tt.hostless
		include := app.IncludeConf(8080)
		// However they are passed on, what proves the switch names the group; but where another line sends them
		// elsewhere, it says that.
		for _, want := range []string{
			"\nset $service_url " + tt.want,
			"\n    if ($service_url != " + strings.TrimSuffix(tt.want, ";") + ") {\n        return 200 \"$service_url " +
				app.SiteID() + " $da_my_app_terms $da_my_app_closed\";\n    }\n    return 200 \"http://my_app_$da_my_app_slot " +
				app.SiteID() + " ",
		} {
			if !strings.Contains(include, want) {
				t.Errorf("%+v: the include lacks %q", tt, want)
			}
		}
	}
}

// By default nginx takes names of servers and variables of 46 characters: their hashes have buckets
// of 64, of which two pointers and a length go off.
func TestTheLongestApplicationNameFitsNginx(t *testing.T) {
	app := App{
		Name: strings.Repeat("a", 32), Path: "/srv/a", Ports: [2]uint16{8080, 8081}, ServerName: "_",
		Include: "/etc/nginx/conf.d/service-url.inc", TrustedProxies: []string{"10.0.0.0/8"},
	}
	for line := range strings.Lines(app.SiteConf()) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "server_name ")
		if ok && len(strings.TrimSuffix(name, ";")) > 46 {
			t.Errorf("server_name %s has %d characters", name, len(name)-1)
		}
	}
	for _, name := range defined(app) {
		if len(name) > 46 {
			t.Errorf("variable %s has %d characters", name, len(name))
		}
	}
}

// Nginx has variables of its own, such as $server_port, $http_host and $remote_port, and refuses
// others of that name.
func TestNoApplicationNameMakesAVariableOfNginxs(t *testing.T) {
	for _, name := range []string{"server", "http", "sent-http", "remote", "realip-remote", "proxy", "arg"} {
		names := defined(App{Name: name, Ports: [2]uint16{8080, 8081}, TrustedProxies: []string{"10.0.0.0/8"}})
		if len(names) < 15 {
			t.Errorf("%s: only %d variables are found: %v", name, len(names), names)
		}
		for _, v := range names {
			if !strings.HasPrefix(v, "da_") && v != "service_url" {
				t.Errorf("an application called %s defines $%s", name, v)
			}
		}
	}
}

// What is used is what is defined.
func TestVariablesAreUsedByTheirNames(t *testing.T) {
	app := App{Name: "shop", Ports: [2]uint16{8080, 8081}, TrustedProxies: []string{"10.0.0.0/8"}}
	for line := range strings.Lines(app.SiteConf() + app.LateConf() + app.IncludeConf(8080)) {
		if strings.Contains(line, "$shop_") {
			t.Errorf("no variable begins with $shop_, but with $da_shop_: %s", line)
		}
	}
}

// defined are the variables that an application's texts define.
func defined(app App) (names []string) {
	text := app.SiteConf() + app.LateConf() + app.IncludeConf(8080) + app.EntryConf()
	define := regexp.MustCompile(`(?m)^ *(?:set|(?:map|geo) .*) \$(\w+)(?: \S+;| \{)$`)
	for _, found := range define.FindAllStringSubmatch(text, -1) {
		names = append(names, found[1])
	}
	return names
}

func TestWhoGetsInIsNoPartOfTheSite(t *testing.T) {
	app := testApp()
	app.HealthPath = "/a.b(c)?deep=1"
	before, site := app.EntryID(), app.SiteID()
	app.Guests = []string{"203.0.113.0/24", "2001:db8::/56"}
	if app.SiteID() != site || app.EntryID() == before {
		t.Error("who gets in makes another site, or no other name")
	}
	text := app.EntryConf()
	for _, want := range []string{
		"geo $da_my_app_guest {\n    default '';\n    203.0.113.0/24 1;\n    2001:db8::/56 1;\n}\n",
		`    "~^/a\.b\(c\)(\?|$)" 1;`, "default " + app.EntryID() + ";",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}
