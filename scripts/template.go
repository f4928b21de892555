package scripts

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"
)

// App is what the files on the host are made for. Its fields are validated inputs and facts; none
// holds a character that nginx or systemd gives a meaning to.
type App struct {
	Name       string // names units and files
	User       string // the login user, who runs the application
	Path       string // the deploy root
	Ports      [2]uint16
	Include    string // path of the nginx include
	ServerName string // nginx server_name; "_" is every name
	IPv6       bool   // the host has IPv6
	// of 80 and 443 those where somebody's site takes IPv4 by its socket of IPv6, and nginx can
	// have no other one beside it
	OneSocket []string
	Folder    string // where nginx reads sites from
	StopSecs  int    // from SIGTERM to SIGKILL
	// the server block is the user's own, and includes ours; only the upstream groups are this
	// action's
	TheirSite bool
	// where a location there says no Host, and the application gets the one in $service_url: that
	// stays the address and port which it was, as no name of a group is one that applications allow
	Hostless bool
	// the host's nginx lacks the realip module, and with it the address that a connection really
	// comes from
	NoRealIP bool

	NoDryRun bool // nor can it count without refusing

	TLS TLS

	TrustedProxies  []string      // CIDRs; what they say of a visitor is believed
	Guests          []string      // CIDRs that get in while the site is in maintenance
	HealthPath      string        // as does who asks for this one
	MaxBodySize     string        // of a request, as nginx writes sizes; "0": any
	ResponseTimeout time.Duration // how long the application may be silent
}

// FlagDir is the folder of the flag that nginx looks at.
func (a App) FlagDir() string { return "/var/lib/deploy-action/" + a.Name + "/active" }

// ClosedBy is the page that is there while the site is in maintenance.
func (a App) ClosedBy() string { return a.FlagDir() + "/.maintenance.html" }

// EntryFile is where EntryConf goes; the site includes it.
func (a App) EntryFile() string { return "/var/lib/deploy-action/" + a.Name + "/maintenance.conf" }

// EntryConf says who gets in while the site is in maintenance. It is no part of the site, which a
// deployment may write with other inputs meanwhile.
func (a App) EntryConf() string {
	return strings.Replace(a.entry(), "@TERMS@", a.EntryID(), 1)
}

// EntryID names it. Nginx tells which one it has loaded.
func (a App) EntryID() string {
	sum := sha256.Sum256([]byte(a.entry()))
	return fmt.Sprintf("%x", sum[:6])
}

func (a App) entry() string {
	probed, _, _ := strings.Cut(a.HealthPath, "?")
	guests := ""
	for _, network := range a.Guests {
		guests += "    " + network + " 1;\n"
	}
	return strings.NewReplacer("    @GUESTS@\n", guests, "@PROBED@", regexp.QuoteMeta(probed)).
		Replace(a.render("maintenance.conf", 0))
}

// Unit is the systemd template, an instance a port.
func (a App) Unit() string { return a.render("unit.service", 0) }

// ProcessUnit is the systemd template of what runs beside the process that serves, an instance a port
// and name.
func (a App) ProcessUnit() string { return a.render("process.service", 0) }

// JobUnit is the systemd template of what runs by the clock, an instance a job.
func (a App) JobUnit() string { return a.render("job.service", 0) }

// Socket is the systemd template of a slot's socket.
func (a App) Socket() string { return a.render("unit.socket", 0) }

// SiteFile is where SiteConf goes. The user's own server block may well have the application's
// name.
func (a App) SiteFile() string {
	if a.TheirSite {
		return a.Folder + "/" + a.Name + ".upstreams.conf"
	}
	return a.Folder + "/" + a.Name + ".conf"
}

// SiteConf is the upstream groups and, but for a user's own server block, the managed nginx site.
func (a App) SiteConf() string {
	groups := a.render("upstreams.conf", 0)
	if a.TheirSite {
		return groups
	}
	front, within := a.secure()
	site := strings.NewReplacer("@TLS@\n", within, "@LISTEN@", a.listenTLS(),
		"@PROXY@", "    "+strings.ReplaceAll(a.proxy(), "\n", "\n    ")).Replace(text("site.conf"))
	return groups + "\n" + a.fill(front+site, 0)
}

// LateConf is for the nginx workers that still have a site of before, in which requests with a body
// went through nginx a second time, while they end.
func (a App) LateConf() string { return a.render("late.conf", 0) }

// SiteID names the texts of the site and the include. Nginx tells it to who asks on the host, and
// so which of them it has loaded.
func (a App) SiteID() string {
	sum := sha256.Sum256([]byte(a.SiteConf() + a.render("service-url.inc", 0)))
	return fmt.Sprintf("%x", sum[:6])
}

// IncludeConf is the file that chooses the slot; nginx falls back to the given one if there is no
// flag at all.
func (a App) IncludeConf(fallback uint16) string {
	return strings.ReplaceAll(a.render("service-url.inc", fallback), "@SITE_ID@", a.SiteID())
}

// Default reports whether the managed site answers for every name.
func (a App) Default() bool { return a.ServerName == "_" && !a.TheirSite }

// group names the upstream groups and, behind "da_", the variables: without that an application
// called server would define $server_port, which is nginx's own. Nginx takes names of 46
// characters: see the test.
func (a App) group() string { return strings.ReplaceAll(a.Name, "-", "_") }

func (a App) render(file string, fallback uint16) string { return a.fill(text(file), fallback) }

// fill puts what the host and the inputs say into a template.
func (a App) fill(template string, fallback uint16) string {
	other := a.Ports[0]
	if fallback == other {
		other = a.Ports[1]
	}
	// The outer texts hold the inner ones, so they are filled in first.
	filled := strings.NewReplacer("@PROXY@", a.proxy(), "@TRUSTED@", a.trusted(), "@REAL_IP@\n", a.realIP(), "@DRY_RUN@\n",
		a.dryRun(), "@SERVICE@", a.service()).Replace(template)
	return strings.NewReplacer(
		"@APP@", a.Name, "@USER@", a.User, "@PATH@", a.Path, "@GROUP@", a.group(),
		"@PORT1@", fmt.Sprint(a.Ports[0]), "@PORT2@", fmt.Sprint(a.Ports[1]),
		"@FALLBACK@", fmt.Sprint(fallback), "@OTHER@", fmt.Sprint(other),
		"@INCLUDE@", a.Include, "@FLAGS@", a.FlagDir(), "@CLOSED_BY@", a.ClosedBy(),
		"@ENTRY_FILE@", a.EntryFile(), "@STOP@", fmt.Sprint(a.StopSecs),
		"@SERVER_NAME@", a.ServerName, "@SITE_NAME@", a.siteName(), "@PEER@", a.peer(),
		"@MAX_BODY@", a.MaxBodySize, "@RESPONSE@", fmt.Sprintf("%dms", a.ResponseTimeout.Milliseconds()),
	).Replace(filled)
}

func text(file string) string {
	text, err := files.ReadFile(file)
	if err != nil {
		panic(err) // embedded: can't be missing
	}
	return strings.TrimSuffix(string(text), "\n")
}

// listenAt are the lines by which a server block listens on a port, with options.
func (a App) listenAt(port, options string) string {
	suffix := options + ";"
	if a.Default() {
		suffix = options + " default_server;"
	}
	var listen []string
	one := slices.Contains(a.OneSocket, port)
	if !one {
		listen = append(listen, "    listen "+port+suffix)
	}
	if a.IPv6 || one {
		listen = append(listen, "    listen [::]:"+port+suffix)
	}
	return strings.Join(listen, "\n")
}

// peer is the variable of the address that a connection really comes from.
func (a App) peer() string {
	if a.NoRealIP {
		return "$remote_addr"
	}
	return "$realip_remote_addr"
}

// dryRun takes away what would have nginx count without refusing, where it knows of that.
func (a App) dryRun() string {
	if a.NoDryRun {
		return ""
	}
	return "    limit_conn_dry_run off;\n"
}

// service is what requests are passed on to; by an address over connections that are not kept.
func (a App) service() string {
	if a.TheirSite && a.Hostless {
		return "127.0.0.1:$da_@GROUP@_slot"
	}
	return "@GROUP@_$da_@GROUP@_slot$da_@GROUP@_kept"
}

// siteName is the Host that the application gets with a request that names none, as HTTP/1.0 lets
// it: the first name of the site that is one, else the address that was asked.
func (a App) siteName() string {
	return cmp.Or(PlainName(a.ServerName), "$da_"+a.group()+"_address")
}

// PlainName is the first of nginx's server names that is a whole name, or nothing.
func PlainName(names string) string {
	for _, name := range strings.Fields(names) {
		if !strings.ContainsAny(name, "*[:") && name != "_" && !strings.HasPrefix(name, ".") {
			return name
		}
	}
	return ""
}

// trusted are the variables of what a trusted proxy says; nothing without one.
func (a App) trusted() string {
	if len(a.TrustedProxies) == 0 {
		return ""
	}
	return strings.Replace(text("trusted.conf"), "@NETWORKS@", strings.Join(a.TrustedProxies, " 1;\n    ")+" 1;", 1)
}

// proxy is how a request is passed on.
func (a App) proxy() string { return a.sent().Replace(text("proxy.conf")) }

// sent is what the application gets of how the visitor came: as nginx itself knows it, or as a
// trusted proxy says.
func (a App) sent() *strings.Replacer {
	proto, asked, port, forwarded := "$scheme", "$da_@GROUP@_host", "$server_port", "''"
	if len(a.TrustedProxies) > 0 {
		proto, asked, port, forwarded = "$da_@GROUP@_proto", "$da_@GROUP@_asked", "$da_@GROUP@_port", "$da_@GROUP@_forwarded"
	}
	return strings.NewReplacer("@PROTO@", proto, "@ASKED@", asked, "@PORT@", port, "@FORWARDED@", forwarded)
}

// realIP makes the visitor's address that of the connection, for requests that come through the
// trusted proxies, and keeps their connections for longer than they do themselves: 4000 s is the
// most that AWS's load balancer has.
func (a App) realIP() string {
	if len(a.TrustedProxies) == 0 {
		return ""
	}
	return "    set_real_ip_from " + strings.Join(a.TrustedProxies, ";\n    set_real_ip_from ") + `;
    real_ip_header X-Forwarded-For;
    real_ip_recursive on;
    keepalive_timeout 4100s;
    keepalive_requests 100000;
`
}

// StartFile is what the unit runs in the release: the start command as it was given, in its
// environment. `bash -c` replaces itself by a simple command, so that the unit's main process is
// the application.
func StartFile(start string) string {
	return `#!/usr/bin/env bash
# Written by deploy-action.
` + readEnvironment + `
exec bash -c ` + shellescape.Quote(start)
}

// readEnvironment is how a start file reads its environment. That of a release which is started
// again with another one lies in the slot until it has proved itself; see renew in lib/launch.sh.
const readEnvironment = `. "../../slots/$PORT.environment" 2>/dev/null || . .deploy-action/environment`

// Environment is what the start file and the hooks read first, in the release's folder: the
// release's name, its venv on PATH, and the application's variables, byte for byte.
func Environment(variables [][2]string) string {
	var b strings.Builder
	b.WriteString(`# Written by deploy-action; the last lines are the input env.
cd -P .
export RELEASE=${PWD##*/} PYTHONUNBUFFERED="${PYTHONUNBUFFERED-1}"
if [[ -d .venv/bin ]]; then export PATH=$PWD/.venv/bin:$PATH; fi
`)
	for _, v := range variables {
		b.WriteString("export " + v[0] + "=" + shellescape.Quote(v[1]) + "\n")
	}
	return b.String()
}
