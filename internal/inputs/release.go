package inputs

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

var (
	appName        = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	notInAppName   = regexp.MustCompile(`[^a-z0-9-]+`)
	plainPath      = regexp.MustCompile(`^[A-Za-z0-9._/-]+$`)
	repositoryName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._-]+)+$`)
	objectID       = regexp.MustCompile(`^([0-9a-fA-F]{40}|[0-9a-fA-F]{64})$`)
)

// reservedApps would give our files the names of others': <app>@.service of systemd and OpenSSH,
// <app>.conf and <app>.d of nginx.
var reservedApps = []string{
	"conf", "default", "nginx", "ssh", "sshd", "user", "user-runtime-dir", "getty", "serial-getty", "container-getty",
	"console-getty", "autovt", "modprobe", "ifup", "postgresql",
}

func setApp(p *parser, value string) error {
	if value == "" {
		repository := p.values["repository"]
		if p.checkRepository(repository) != nil {
			return nil // reported there
		}
		value = strings.Trim(notInAppName.ReplaceAllString(strings.ToLower(path.Base(repository)), "-"), "-")
		if err := checkApp(value); err != nil {
			return fmt.Errorf("cannot be taken from the name of repository %q: give one that %w", repository, err)
		}
	}
	app := strings.ToLower(value)
	if err := checkApp(app); err != nil {
		return fmt.Errorf("%w %s", err, got(value))
	}
	p.in.App = app
	return nil
}

func checkApp(name string) error {
	if !appName.MatchString(name) {
		return errors.New("must begin with a letter and have at most 32 of a-z, 0-9 and -")
	}
	if slices.Contains(reservedApps, name) || strings.HasPrefix(name, "systemd-") {
		return fmt.Errorf("must not be %q, which belongs to the system", name)
	}
	return nil
}

// System folders: those nothing may be deployed to at all, and those that may only hold the folder
// to deploy to.
var (
	closedFolders = []string{
		"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/snap",
		"/sys",
		"/tmp", "/usr", "/var/run", "/var/tmp", "/var/lib/deploy-action", "/var/lib/dpkg", "/var/lib/systemd",
		"/var/log",
		"/var/spool/cron",
	}
	parentFolders = []string{
		"/", "/home", "/lost+found", "/media", "/mnt", "/opt", "/root", "/srv", "/var", "/var/cache", "/var/lib",
		"/var/opt", "/var/spool", "/var/www",
	}
)

func setPath(p *parser, value string) error {
	if value == "" {
		hosts := p.all()
		if len(hosts) == 0 || p.in.App == "" || !p.good("username") {
			return nil // reported there
		}
		for _, host := range hosts {
			if host.User != hosts[0].User {
				return fmt.Errorf("must be given where hosts have different users: %s logs in as %s, and %s as %s",
					hosts[0].Name, hosts[0].User, host.Name, host.User)
			}
		}
		home := "/home/" + hosts[0].User
		if hosts[0].User == "root" {
			home = "/root"
		}
		value = home + "/" + p.in.App
	}
	clean, err := checkPath(value)
	if err != nil {
		return err
	}
	within := func(folder string) bool { return clean == folder || strings.HasPrefix(clean, folder+"/") }
	switch {
	case slices.ContainsFunc(closedFolders, within):
		return fmt.Errorf("must not be in a system folder: choose one such as \"/srv/app\" %s", got(value))
	case slices.Contains(parentFolders, clean) || path.Dir(clean) == "/home":
		return fmt.Errorf("must be a folder of its own: choose one below it %s", got(value))
	case slices.Contains(strings.Split(clean, "/"), ".ssh"):
		return fmt.Errorf("must not be in .ssh %s", got(value))
	}
	p.in.Path = clean
	return nil
}

// checkPath returns an absolute path, cleaned, that means the same to a shell, to nginx and to
// systemd.
func checkPath(value string) (string, error) {
	switch {
	case strings.HasPrefix(value, "~"):
		return "", fmt.Errorf("must be written out: a host does not expand ~ here %s", got(value))
	case !strings.HasPrefix(value, "/"):
		return "", fmt.Errorf("must start with \"/\" %s", got(value))
	case !plainPath.MatchString(value):
		return "", fmt.Errorf("must have only A-Z, a-z, 0-9 and . _ / - in it %s", got(value))
	case slices.Contains(strings.Split(value, "/"), ".."):
		return "", fmt.Errorf("must not contain \"..\" %s", got(value))
	case len(value) > 200:
		return "", fmt.Errorf("must not be longer than 200 characters %s", got(value))
	}
	return path.Clean(value), nil
}

func setRepository(p *parser, value string) error {
	if err := p.checkRepository(value); err != nil {
		return err
	}
	p.in.Repository = value
	return nil
}

// checkRepository takes what other servers have, too, on which an owner may be a group in a group.
func (p *parser) checkRepository(value string) error {
	parts := strings.Split(value, "/")
	dots := slices.ContainsFunc(parts, func(part string) bool { return strings.Trim(part, ".") == "" })
	nested := len(parts) > 2 && p.in.ServerURL == defaultServerURL
	if !repositoryName.MatchString(value) || dots || nested || strings.HasSuffix(value, ".git") || len(value) > 200 {
		return fmt.Errorf("must be \"owner/name\", without a server and without .git %s", got(value))
	}
	return nil
}

// setRef follows git-check-ref-format(1), and refuses what git would take for an option.
func setRef(p *parser, value string) error {
	if value == "" || objectID.MatchString(value) {
		p.in.Ref = strings.ToLower(value)
		return nil
	}
	wrong := value == "@" || len(value) > 255 || strings.ContainsAny(value, " ~^:?*[\\") ||
		strings.Contains(value, "..") || strings.Contains(value, "@{") || strings.HasPrefix(value, "-") ||
		strings.HasSuffix(value, ".")
	for part := range strings.SplitSeq(value, "/") {
		wrong = wrong || part == "" || strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock")
	}
	if wrong {
		return fmt.Errorf("must be a commit id or the name of a branch or tag %s", got(value))
	}
	if p.in.RefLive = value == refLive; p.in.RefLive && p.values["source"] == Workspace {
		return errors.New("must not be live where the source is workspace, which has one commit: the checkout's; " +
			"check out the commit that is live")
	}
	p.in.Ref = value
	return nil
}

// refLive is the value of ref that means the commit that most hosts serve. A branch of this name is
// refs/heads/live.
const refLive = "live"

func setToken(p *parser, value string) error {
	value = strings.TrimSpace(value)
	p.in.Token = Secret(value)
	if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("must be a token without blanks, such as ${{ github.token }}")
	}
	return nil
}
