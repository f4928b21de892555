package scripts

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"al.essio.dev/pkg/shellescape"
)

// App is what the files on the host are made for. Its fields are validated inputs and facts; none holds a character that nginx or systemd
// gives a meaning to.
type App struct {
	Name       string // names units and files
	User       string // the login user, who runs the application
	Path       string // the deploy root
	Ports      [2]uint16
	Include    string // path of the nginx include
	ServerName string // nginx server_name; "_" is every name
	IPv6       bool   // the host has IPv6
	OneSocket  bool   // somebody's site there takes IPv4 by its socket of IPv6, and nginx can have no other one beside it
	Folder     string // where nginx reads sites from
	StopSecs   int    // from SIGTERM to SIGKILL
	TheirSite  bool   // the server block is the user's own, and includes ours; only the upstream groups are this action's
}

// FlagDir is the folder of the flag that nginx looks at.
func (a App) FlagDir() string { return "/var/lib/deploy-action/" + a.Name + "/active" }

// Unit is the systemd template, an instance a port.
func (a App) Unit() string { return a.render("unit.service", 0) }

// SiteFile is where SiteConf goes. The user's own server block may well have the application's name.
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
	return groups + "\n" + a.render("site.conf", 0)
}

// SiteID names the texts of the site and the include. Nginx tells it to who asks on the host, and so which of them it has loaded.
func (a App) SiteID() string {
	sum := sha256.Sum256([]byte(a.SiteConf() + a.render("service-url.inc", 0)))
	return fmt.Sprintf("%x", sum[:6])
}

// IncludeConf is the file that chooses the slot; nginx falls back to the given one if there is no flag at all.
func (a App) IncludeConf(fallback uint16) string {
	return strings.ReplaceAll(a.render("service-url.inc", fallback), "@SITE_ID@", a.SiteID())
}

// Default reports whether the managed site answers for every name.
func (a App) Default() bool { return a.ServerName == "_" && !a.TheirSite }

func (a App) group() string { return strings.ReplaceAll(a.Name, "-", "_") }

func (a App) render(file string, fallback uint16) string {
	text, err := files.ReadFile(file)
	if err != nil {
		panic(err) // embedded: can't be missing
	}
	suffix := ";"
	if a.Default() {
		suffix = " default_server;"
	}
	var listen []string
	if !a.OneSocket {
		listen = append(listen, "    listen 80"+suffix)
	}
	if a.IPv6 || a.OneSocket {
		listen = append(listen, "    listen [::]:80"+suffix)
	}
	return strings.TrimSuffix(strings.NewReplacer(
		"@APP@", a.Name, "@USER@", a.User, "@PATH@", a.Path, "@GROUP@", a.group(),
		"@PORT1@", fmt.Sprint(a.Ports[0]), "@PORT2@", fmt.Sprint(a.Ports[1]), "@FALLBACK@", fmt.Sprint(fallback),
		"@INCLUDE@", a.Include, "@FLAGS@", a.FlagDir(), "@SERVER_NAME@", a.ServerName,
		"@LISTEN@", strings.Join(listen, "\n"), "@STOP@", fmt.Sprint(a.StopSecs),
	).Replace(string(text)), "\n")
}

// StartFile is what the unit runs in the release: the start command as it was given, in its environment. `bash -c` replaces itself by a simple command, so that the unit's main process is the application.
func StartFile(start string) string {
	return `#!/usr/bin/env bash
# Written by deploy-action.
. .deploy-action/environment
exec bash -c ` + shellescape.Quote(start)
}

// Environment is what the start file and the hooks read first, in the release's folder: the release's name, its venv on PATH, and the
// application's variables, byte for byte.
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
