package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

// Commands that every deployment needs on the host; a build of ours needs more.
const needs = "awk cmp curl flock grep nginx pgrep sed sync timeout xargs"

// needs of a source.
var sourceNeeds = map[string]string{inputs.Git: " git", inputs.Workspace: " gzip sha256sum tar"}

// pythonic is a build that may well make a virtual environment, whose module is a package of its
// own.
var pythonic = regexp.MustCompile(`\b(python3?|pip3?|venv|virtualenv)\b`)

// check looks at all that a deployment needs, and changes nothing.
func (d *Deployment) check(ctx context.Context, h *target) (string, error) {
	d.goOn(h)
	return d.examine(ctx, h, false)
}

func (d *Deployment) checkNext(*target, string) *upcoming {
	return &upcoming{verb: scripts.Check, own: d.checking(false), early: true}
}

// install brings what check found missing, once it is known that nothing else is in the way, and
// checks again.
func (d *Deployment) install(ctx context.Context, h *target) (string, error) {
	return d.examineAgain(ctx, h, true)
}

// examineAgain is for when it is known what is there.
func (d *Deployment) examineAgain(ctx context.Context, h *target, install bool) (string, error) {
	line, err := d.examine(ctx, h, install)
	if err != nil {
		return "", err
	}
	h.app.TheirSite = h.TheirSite
	return line, d.chooseTLS(h)
}

// nothingToInstall: with setup "always" apt is asked for newer versions, too.
func (d *Deployment) nothingToInstall(h *target) bool {
	return h.coming == "" && d.in.Setup != inputs.SetupAlways
}

// checking are the values of check.sh.
func (d *Deployment) checking(install bool) scripts.Values {
	need := needs
	if d.op.tools {
		need += sourceNeeds[d.in.Source]
	}
	if (d.in.Build == "" || pythonic.MatchString(d.in.Build)) && d.op.tools {
		need += " python3"
	}
	if d.in.HTTPS.Mail != "" {
		need += certbotNeeds
	}
	return scripts.Values{
		"needs": need, "clock": strconv.FormatInt(d.now().Unix(), 10),
		"list": scripts.Yes(d.op.asks), "setup": string(d.in.Setup),
		"may_install": d.mayInstall(install), "packages": strings.Join(d.in.Packages, " "),
		"server_name": d.in.ServerName, "verify_host": d.verifyHost(), "nginx_include": d.in.NginxInclude,
		"https": scripts.Yes(d.in.HTTPS.Wanted()),
	}
}

func (d *Deployment) examine(ctx context.Context, h *target, install bool) (string, error) {
	res, err := h.Exec(ctx, scripts.Check, d.checking(install))
	for n := 0; res.Has(fmt.Sprintf("note_%d", n)); n++ {
		d.warnOnce(h, "Nginx of "+h.Address.Name, res.Text(fmt.Sprintf("note_%d", n)))
	}
	if err != nil {
		return "", withFaults(err, res)
	}
	h.rulesStand = res.Yes("rules")
	h.systemd, h.memoryMB = res.Yes("systemd"), res.Int("memory_mb")
	if !h.systemd && d.hasProcesses() {
		return "", errors.New("the input processes needs systemd, which runs what is beside the web process: " +
			"leave it out, or deploy to a host whose init is systemd")
	}
	if !h.systemd && len(d.in.Jobs) > 0 {
		return "", errors.New("the input schedule needs systemd, whose timers start the jobs: leave it out, or deploy " +
			"to a host whose init is systemd")
	}
	memory := fmt.Sprintf("%d of %d MB of memory and %s", h.memoryMB, res.Int("memory_total_mb"),
		swapText(res.Int("swap_mb")))
	h.app = scripts.App{
		Name: d.in.App, User: h.Address.User, Path: d.in.Path, Ports: d.in.Ports, Include: d.in.NginxInclude,
		ServerName: d.in.ServerName, IPv6: res.Yes("ipv6"),
		OneSocket: strings.Fields(res.OneOf("one_socket", "", "80", "443", "80 443")), Hostless: res.Yes("hostless"),
		Folder: res.Form("site_folder", state.FolderForm), StopSecs: int(d.in.StopTimeout / time.Second),
		NoRealIP: !res.Yes("realip"), MaxBodySize: d.in.MaxBodySize, ResponseTimeout: d.in.ResponseTimeout,
		TrustedProxies: d.in.TrustedProxies, Guests: d.in.MaintenanceAllow, HealthPath: d.in.Health.Path,
	}
	h.certificate = res.Text("certificate")
	h.siteCertificate = res.Form("site_certificate", h.app.CertificateForm())
	if h.app.NoRealIP && len(h.app.TrustedProxies) > 0 {
		return "", errors.New("nginx has no realip module, which the input trusted-proxies needs: install a build " +
			"that has it, " +
			"as all distributions' have")
	}
	installed := res.Text("installed")
	if installed != "" {
		h.changed = true
		installed = "; installed " + installed
	}
	switch h.coming = res.Text("coming"); {
	case h.coming != "" && (d.op.asks || d.in.DryRun):
		installed = "; the next deployment installs " + h.coming
	case h.coming != "":
		installed = "; missing, and yet to be installed: " + h.coming
	case installed == "" && d.op.success == outcome.SetUp:
		installed = "; all packages are there already"
	}
	os, version, disk, skew := res.Text("os"), res.Text("nginx"), res.Int("disk_mb"), res.Int("skew")
	if err := res.Err(); err != nil {
		return "", err
	}
	occupied := res.Text("occupied")
	if disk < minDiskMB && occupied == "" && d.op.makes { // with releases there room can be made
		return "", fmt.Errorf("only %d MB of disk are free at %s, and a first release needs at least %d MB: give "+
			"the host a bigger disk, or delete there what is not needed", disk, d.in.Path, minDiskMB)
	}
	if used := res.Int("disk_used"); used > fullDisk {
		d.warnOnce(h, "Disk of "+h.Address.Name, fmt.Sprintf("the disk of %s is %d %% full at %s, with "+
			"%d MB free (%s)", h.Address, used, d.in.Path, disk, cmp.Or(occupied, "no release is there yet")))
	}
	if d.op.asks && occupied != "" {
		d.rep.Info(d.in.Path + " has " + occupied)
	}
	if olderThan(version, neededNginx) {
		return "", fmt.Errorf("nginx %s is too old: keepalive_timeout in an upstream, by which an old version's "+
			"connections come to an end, needs %s; upgrade it", version, neededNginx)
	}
	h.app.NoDryRun = olderThan(version, dryRunNginx)
	h.app.TLS.HTTP2On = version != "" && !olderThan(version, http2Nginx)
	if olderThan(version, keptNginx) {
		d.warnOnce(h, "Nginx of "+h.Address.Name, fmt.Sprintf("nginx %s works, and no distribution that is still "+
			"maintained has one older than %s: upgrade the host", version, keptNginx))
	}
	if skew > maxSkew || skew < -maxSkew {
		d.warnOnce(h, "Clock of "+h.Address.Name, fmt.Sprintf("the clock of %s differs from the runner's by %d s: "+
			"enable time synchronisation", h.Address, skew))
	}
	if !h.systemd {
		d.warnOnce(h, "No systemd on "+h.Address.Name, "systemd is not init here: the application is started with "+
			"nohup and does not come back after a crash or a reboot")
	}
	return fmt.Sprintf("%s, %s, %.1f GB of disk free, %s%s", os, nginxText(version), float64(disk)/1024, memory,
		installed), nil
}

func (d *Deployment) mayInstall(now bool) string {
	if !now && !d.op.asks && !d.in.DryRun {
		return "later"
	}
	return scripts.Yes(now)
}

func swapText(mb int) string {
	if mb == 0 {
		return "no swap"
	}
	return fmt.Sprintf("%d MB of swap", mb)
}

// withFaults puts what check.sh found wrong, all of it, in the place of its last words.
func withFaults(err error, res *scripts.Results) error {
	var no *host.Error
	if !errors.As(err, &no) || !res.Has("fault_0") {
		return err
	}
	var faults []string
	for n := 0; res.Has(fmt.Sprintf("fault_%d", n)); n++ {
		faults = append(faults, res.Text(fmt.Sprintf("fault_%d", n)))
	}
	no.Reason, no.Evidence = strings.Join(faults, "\n"), nil
	return err
}

const (
	minDiskMB = 200
	fullDisk  = 85  // percent, from where on it is said
	maxSkew   = 300 // seconds; certificates and signatures tolerate about that much
)

const (
	neededNginx = "1.15.3" // nginx.org/en/docs/http/ngx_http_upstream_module.html#keepalive_timeout
	dryRunNginx = "1.17.6" // nginx.org/en/docs/http/ngx_http_limit_conn_module.html#limit_conn_dry_run
	keptNginx   = "1.18.0" // of Debian 11 and Ubuntu 20.04
)

func nginxText(version string) string {
	if version == "" {
		return "no nginx yet"
	}
	return "nginx " + version
}

// olderThan compares versions of nginx; one that is none is not older.
func olderThan(version, other string) bool {
	var v, o [3]int
	if n, _ := fmt.Sscanf(version, "%d.%d.%d", &v[0], &v[1], &v[2]); n < 3 {
		return false
	}
	_, _ = fmt.Sscanf(other, "%d.%d.%d", &o[0], &o[1], &o[2])
	return slices.Compare(v[:], o[:]) < 0
}
