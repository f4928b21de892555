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

// machine gets to a host, finds out what is there, and sets up what a deployment needs.
type machine struct {
	*run
	choice      *choice
	inPlace     *inPlace
	maintenance *maintenance
	roster      *roster
	site        *site
	work        *work
	bootPoll    time.Duration // between two tries to log in to a host that may boot
}

// Commands that every deployment needs on the host; a build of ours needs more.
const needs = "awk cmp curl flock grep nginx pgrep sed sync timeout xargs"

// needs of a source.
var sourceNeeds = map[string]string{inputs.Git: " git", inputs.Workspace: " gzip sha256sum tar"}

// pythonic is a build that may well make a virtual environment, whose module is a package of its
// own.
var pythonic = regexp.MustCompile(`\b(python3?|pip3?|venv|virtualenv)\b`)

// check looks at all that a deployment needs, and changes nothing.
func (m *machine) check(ctx context.Context, h *target) (string, error) {
	m.goOn(h)
	return m.examine(ctx, h, false)
}

func (m *machine) checkNext(*target, string) *upcoming {
	return &upcoming{verb: scripts.Check, own: m.checking(false), early: true}
}

// install brings what check found missing, once it is known that nothing else is in the way, and
// checks again.
func (m *machine) install(ctx context.Context, h *target) (string, error) {
	return m.examineAgain(ctx, h, true)
}

// examineAgain is for when it is known what is there.
func (m *machine) examineAgain(ctx context.Context, h *target, install bool) (string, error) {
	line, err := m.examine(ctx, h, install)
	if err != nil {
		return "", err
	}
	h.app.TheirSite = h.TheirSite
	return line, m.site.chooseTLS(h)
}

// nothingToInstall: with setup "always" apt is asked for newer versions, too.
func (m *machine) nothingToInstall(h *target) bool {
	return h.coming == "" && m.in.Setup != inputs.SetupAlways
}

// checking are the values of check.sh.
func (m *machine) checking(install bool) scripts.Values {
	need := needs
	if m.op.tools {
		need += sourceNeeds[m.in.Source]
	}
	if (m.in.Build == "" || pythonic.MatchString(m.in.Build)) && m.op.tools {
		need += " python3"
	}
	if m.in.HTTPS.Mail != "" {
		need += certbotNeeds
	}
	return scripts.Values{
		"needs": need, "clock": strconv.FormatInt(m.now().Unix(), 10),
		"list": scripts.Yes(m.op.asks), "setup": string(m.in.Setup),
		"may_install": m.mayInstall(install), "packages": strings.Join(m.in.Packages, " "),
		"server_name": m.in.ServerName, "verify_host": m.site.verifyHost(), "nginx_include": m.in.NginxInclude,
		"https": scripts.Yes(m.in.HTTPS.Wanted()),
	}
}

func (m *machine) examine(ctx context.Context, h *target, install bool) (string, error) {
	res, err := h.Exec(ctx, scripts.Check, m.checking(install))
	for n := 0; res.Has(fmt.Sprintf("note_%d", n)); n++ {
		m.warnOnce(h, "Nginx of "+h.Address.Name, res.Text(fmt.Sprintf("note_%d", n)))
	}
	if err != nil {
		return "", withFaults(err, res)
	}
	h.rulesStand = res.Yes("rules")
	h.systemd, h.memoryMB = res.Yes("systemd"), res.Int("memory_mb")
	if !h.systemd && m.work.hasProcesses() {
		return "", errors.New("the input processes needs systemd, which runs what is beside the web process: " +
			"leave it out, or deploy to a host whose init is systemd")
	}
	if !h.systemd && len(m.in.Jobs) > 0 {
		return "", errors.New("the input schedule needs systemd, whose timers start the jobs: leave it out, or deploy " +
			"to a host whose init is systemd")
	}
	memory := fmt.Sprintf("%d of %d MB of memory and %s", h.memoryMB, res.Int("memory_total_mb"),
		swapText(res.Int("swap_mb")))
	h.app = scripts.App{
		Name: m.in.App, User: h.Address.User, Path: m.in.Path, Ports: m.in.Ports, Include: m.in.NginxInclude,
		ServerName: m.in.ServerName, IPv6: res.Yes("ipv6"),
		OneSocket: strings.Fields(res.OneOf("one_socket", "", "80", "443", "80 443")), Hostless: res.Yes("hostless"),
		Folder: res.Form("site_folder", state.FolderForm), StopSecs: int(m.in.StopTimeout / time.Second),
		NoRealIP: !res.Yes("realip"), MaxBodySize: m.in.MaxBodySize, ResponseTimeout: m.in.ResponseTimeout,
		TrustedProxies: m.in.TrustedProxies, Guests: m.in.MaintenanceAllow, HealthPath: m.in.Health.Path,
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
	case h.coming != "" && (m.op.asks || m.in.DryRun):
		installed = "; the next deployment installs " + h.coming
	case h.coming != "":
		installed = "; missing, and yet to be installed: " + h.coming
	case installed == "" && m.op.success == outcome.SetUp:
		installed = "; all packages are there already"
	}
	os, version, disk, skew := res.Text("os"), res.Text("nginx"), res.Int("disk_mb"), res.Int("skew")
	if err := res.Err(); err != nil {
		return "", err
	}
	occupied := res.Text("occupied")
	if disk < minDiskMB && occupied == "" && m.op.makes { // with releases there room can be made
		return "", fmt.Errorf("only %d MB of disk are free at %s, and a first release needs at least %d MB: give "+
			"the host a bigger disk, or delete there what is not needed", disk, m.in.Path, minDiskMB)
	}
	if used := res.Int("disk_used"); used > fullDisk {
		m.warnOnce(h, "Disk of "+h.Address.Name, fmt.Sprintf("the disk of %s is %d %% full at %s, with "+
			"%d MB free (%s)", h.Address, used, m.in.Path, disk, cmp.Or(occupied, "no release is there yet")))
	}
	if m.op.asks && occupied != "" {
		m.rep.Info(m.in.Path + " has " + occupied)
	}
	if olderThan(version, neededNginx) {
		return "", fmt.Errorf("nginx %s is too old: keepalive_timeout in an upstream, by which an old version's "+
			"connections come to an end, needs %s; upgrade it", version, neededNginx)
	}
	h.app.NoDryRun = olderThan(version, dryRunNginx)
	h.app.TLS.HTTP2On = version != "" && !olderThan(version, http2Nginx)
	if olderThan(version, keptNginx) {
		m.warnOnce(h, "Nginx of "+h.Address.Name, fmt.Sprintf("nginx %s works, and no distribution that is still "+
			"maintained has one older than %s: upgrade the host", version, keptNginx))
	}
	if skew > maxSkew || skew < -maxSkew {
		m.warnOnce(h, "Clock of "+h.Address.Name, fmt.Sprintf("the clock of %s differs from the runner's by %d s: "+
			"enable time synchronisation", h.Address, skew))
	}
	if !h.systemd {
		m.warnOnce(h, "No systemd on "+h.Address.Name, "systemd is not init here: the application is started with "+
			"nohup and does not come back after a crash or a reboot")
	}
	return fmt.Sprintf("%s, %s, %.1f GB of disk free, %s%s", os, nginxText(version), float64(disk)/1024, memory,
		installed), nil
}

func (m *machine) mayInstall(now bool) string {
	if !now && !m.op.asks && !m.in.DryRun {
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
