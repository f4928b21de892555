// Package inputs reads what the user gave in the workflow file into typed and checked values,
// before anything is dialled. action.yml declares the inputs; fields.go lists them in the same
// order, with their defaults, and a test holds action.yml, fields.go and the tables of README.md
// against each other.
//
// The runner passes an input as INPUT_<NAME>, in capitals and with its hyphens, sets every input
// that action.yml declares, an omitted one to its default or to nothing, and enforces nothing
// (Handler.cs, ActionRunner.cs of github.com/actions/runner). So an empty input means its default
// here.
//
// Values end up in shell, nginx and systemd on a host. What is checked here to be of a narrow
// alphabet needs no quoting there; what is free text does: build, start, before-start,
// after-switch, the values of env, the keys of assets, health-path, health-body, and ref, which may
// hold whatever git allows in a name.
package inputs

import (
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/clothesme/deploy-action/internal/exclude"
	"github.com/clothesme/deploy-action/remote"
)

// Inputs is what to deploy, where and how.
type Inputs struct {
	Outside bool // of GitHub, where an input is a flag

	Hosts     []remote.Host // with Instances these are not all, before Found
	Instances []Instances
	Address   Address  // of instances
	Expect    Expected // number of hosts
	Username  string   // for hosts that do not say, as Port
	Port      uint16

	Access     Access
	Key        Secret // as given; Signer is what it says
	Passphrase Secret
	Signer     ssh.Signer // with the certificate, if there is one
	HostKeys   *remote.HostKeys
	// where those of found hosts are looked for that HostKeys has nothing about: Console, or names of
	// parameters
	HostKeySources []string
	KeyInsecure    bool // the user gave up on verifying hosts: to be said loudly

	Jumps          []remote.Jump // the hosts on the way
	JumpKey        Secret        // as given; "": it is Key
	JumpPassphrase Secret

	SecurityGroup string // whose port is open to this runner while it logs in; "": none
	RunnerCIDR    string // the network from where the hosts see it come; "": that is found out

	ConnectEndpoint string // through which hosts are reached: an id, or OwnEndpoint; "": they are dialled

	TargetGroups  []string      // of load balancers, by name or ARN, that have to find the hosts healthy
	TargetTimeout time.Duration // for that, after a switch

	LaunchImage bool // Auto Scaling groups of Instances launch an image of a host that has the release
	KeepImages  int  // the launched one and the one before it included

	Operation Operation
	Release   string // for Rollback: which; "": the one before the active

	Confirmed    bool // for Remove: it is meant
	RemoveShared bool // and what is shared goes, too

	Maintenance      bool     // for Maintenance: it begins, else it ends
	MaintenancePage  string   // a clean path within the release; "": a plain page
	MaintenanceAllow []string // networks that get in all the same, as CIDRs
	Command          string   // of RunIt
	AtOnce           bool     // it may run beside another one
	Logs             LogsOf

	Setup      SetupMode
	AllowDown  bool     // the operation status may find the site down
	AllowOlder bool     // put an older run's commit live over a newer one's
	DryRun     bool     // say what would be done, and do nothing
	Packages   []string // of the distribution, wanted besides what a deployment needs
	SwapMB     int      // of swap that a host without any gets; 0: none

	ConnectTimeout time.Duration
	Timeout        time.Duration // for the whole run
	LockTimeout    time.Duration // 0: do not wait for another deployment

	App  string // [a-z][a-z0-9-]{0,31}
	Path string // absolute, clean, of [A-Za-z0-9._/-]

	Source     string // Git or Workspace
	Repository string // owner/name
	Ref        string // a full commit id in lower case, an abbreviated one, or the name of a ref
	RefLive    bool   // it is the word for the commit that most hosts serve
	Token      Secret // may be empty, for a public repository
	ServerURL  string // http(s), without a slash at the end

	Workspace     string           // the runner's checkout, absolute; "" unless Source is Workspace
	WorkspacePath string           // the folder in it that is sent, local and clean
	Exclude       exclude.Patterns // what of it is not

	Build       string // "": what the release itself calls for
	Start       string
	Strategy    Strategy
	Batches     []Share   // of the hosts that have the new version by then; the last is all
	Processes   []Process // beside the one that Start is
	Procfile    bool      // and those that the release's own Procfile names
	Overlap     bool      // new ones start before the old ones end
	Jobs        []Job     // by the clock
	BeforeStart string    // "": nothing, as AfterSwitch
	AfterSwitch string
	// of several hosts, those on which they run
	BeforeStartOn, AfterSwitchOn On
	SkipUnreachable              Share // that may be left out
	Env                          []Variable
	EnvFrom                      []EnvSource // of which a later one, and Env, go before an earlier one
	Shared                       []string    // clean paths within the release

	Assets     []Asset
	Role       string   // the ARN of whom AWS is asked as; "": as whom the environment says
	Identity   Identity // by which that is taken
	AWSRegion  string   // "": from the environment
	S3Endpoint string   // http(s), without a slash at the end; "": from the environment, or AWS

	Ports  [2]uint16
	Health Health

	WatchFor     time.Duration
	DrainTimeout time.Duration
	StopTimeout  time.Duration

	ServerName   string // nginx's, names separated by one blank
	NginxInclude string // absolute, clean, of [A-Za-z0-9._/-]
	HTTPS        HTTPS

	TrustedProxies  []string      // networks of which the site believes whom a request comes from, as CIDRs
	MaxBodySize     string        // of a request, as nginx writes it; "0": any
	ResponseTimeout time.Duration // how long the application may be silent

	KeepReleases int // the live one and the one before it included

	Run Run
}

// Health is what the application must answer to count as healthy; all that is given must hold.
type Health struct {
	Path    string // with its query
	Status  int
	Body    string // a part of the body; "": any
	Timeout time.Duration
	Host    string // for the Host header
}

// Parse reads the inputs. All faults are returned at once, as Errors, in the order of action.yml;
// the Inputs are then incomplete and good for Secrets only, which must be masked before the faults
// are printed.
func Parse(getenv func(string) string) (*Inputs, error) { return parse(getenv, false) }

// ParseOutside is Parse where there is no GitHub: faults name flags, and how things are there.
func ParseOutside(getenv func(string) string) (*Inputs, error) { return parse(getenv, true) }

func parse(getenv func(string) string, outside bool) (*Inputs, error) {
	run, runErr := parseRun(getenv)
	p := &parser{
		in: &Inputs{
			Outside: outside,
			Run:     run, ServerURL: run.ServerURL, Workspace: getenv("GITHUB_WORKSPACE"),
			Identity: Identity{
				URL: getenv("ACTIONS_ID_TOKEN_REQUEST_URL"), Bearer: Secret(getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN")),
			},
		},
		values: map[string]string{},
		faults: map[string][]error{},
	}
	all := fields()
	for _, f := range all { // values first: some fields look at others
		p.read(f, getenv("INPUT_"+strings.ToUpper(f.name)))
	}
	// Kept even when they are faulty, since they must be masked all the more.
	p.in.Key, p.in.Passphrase, p.in.Token = Secret(p.values["key"]), Secret(p.values["passphrase"]),
		Secret(p.values["token"])
	p.in.HTTPS.Key = Secret(p.values["tls-key"])
	p.in.JumpKey, p.in.JumpPassphrase = Secret(p.values["proxy-jump-key"]), Secret(p.values["proxy-jump-passphrase"])
	for _, f := range all {
		if p.good(f.name) {
			p.fault(f.name, f.set(p, p.values[f.name]))
		}
	}
	p.count()
	var errs Errors
	for _, f := range all {
		errs = append(errs, p.faults[f.name]...)
	}
	if runErr != nil {
		errs = append(errs, runErr)
	}
	if len(errs) > 0 {
		return p.in, errs
	}
	return p.in, nil
}

// SecretsOf returns what of a variable of the application's must be masked. What the run's own inputs and
// results say in public, such as the site's name among the hosts that the application allows, is no secret,
// and masked it would be missing in them: GitHub drops a job's output that holds a masked text.
func (in *Inputs) SecretsOf(v Variable) []string {
	public := []string{
		in.ServerName, in.Repository, in.Ref, in.Run.Repository, in.Run.SHA, in.Run.Commit, in.Username, in.App,
	}
	for _, h := range in.Hosts {
		public = append(public, h.Name, h.User)
	}
	for _, j := range in.Jumps {
		public = append(public, j.Host.Name, j.Host.User)
	}
	return slices.DeleteFunc(v.Secrets(), func(secret string) bool {
		return slices.ContainsFunc(public, func(text string) bool { return strings.Contains(text, secret) })
	})
}

// Secrets returns what must be masked: the token, also as HTTP's Basic authentication sends it, the
// passphrases, what opens the job's identity, the values of env that are neither short nor common,
// and the lines of the keys. Lines of fewer than 16 characters are left out: they are its frame, not
// the key.
func (in *Inputs) Secrets() []string {
	var secrets []string
	if in.Token != "" {
		basic := base64.StdEncoding.EncodeToString([]byte("x-access-token:" + in.Token.Reveal()))
		secrets = append(secrets, in.Token.Reveal(), basic)
	}
	for _, v := range in.Env {
		secrets = append(secrets, in.SecretsOf(v)...)
	}
	for _, whole := range []Secret{in.Passphrase, in.JumpPassphrase, in.Identity.Bearer} {
		if whole != "" {
			secrets = append(secrets, whole.Reveal())
		}
	}
	for _, key := range []Secret{in.Key, in.JumpKey, in.HTTPS.Key} {
		text := strings.NewReplacer(`\r`, " ", `\n`, " ").Replace(key.Reveal()) // as secrets stores mangle them
		for _, line := range strings.Fields(text) {
			if len(line) >= 16 {
				secrets = append(secrets, line)
			}
		}
	}
	return secrets
}
