package inputs

import "time"

// The defaults, as action.yml has them.
const (
	defaultAddress        = string(AddressAuto)
	defaultExpect         = "1-"
	defaultAccess         = string(WithKey)
	defaultUsername       = "ubuntu"
	defaultPort           = "22"
	defaultHostKeys       = "known-hosts"
	defaultInsecure       = "false"
	defaultConnectTimeout = "30s"
	defaultTimeout        = "30m"
	defaultLockTimeout    = "10m"
	defaultOperation      = string(Deploy)
	defaultAllowOlder     = "false"
	defaultAllowDown      = "false"
	defaultAtOnce         = "false"
	defaultLogOf          = "app"
	defaultLogLines       = "200"
	defaultRemoveShared   = "false"
	defaultDryRun         = "false"
	defaultSetup          = string(SetupAuto)
	defaultSource         = Git
	defaultWorkspacePath  = "."
	defaultExclude        = ".git"
	defaultStart          = "uvicorn controller.main:app --host 127.0.0.1 --port $PORT"
	defaultStrategy       = string(BlueGreen)
	defaultOverlap        = "false"
	defaultBeforeStartOn  = string(OnFirst)
	defaultAfterSwitchOn  = string(OnAll)
	defaultPorts          = "8080,8081"
	defaultHealthPath     = "/health"
	defaultHealthStatus   = "200"
	defaultHealthTimeout  = "100s"
	defaultWatchFor       = "5s"
	defaultDrainTimeout   = "30s"
	defaultStopTimeout    = "10s"
	defaultServerName     = "_"
	defaultNginxInclude   = "/etc/nginx/conf.d/service-url.inc"
	defaultACMEServer     = "https://acme-v02.api.letsencrypt.org/directory"
	defaultMaxBodySize    = "100m"
	defaultResponse       = "300s"
	defaultKeepReleases   = "5"
	defaultSkip           = "0"
	defaultTargetTimeout  = "2m"
	defaultLaunchImage    = NoImage
	defaultKeepImages     = "3"
)

// field is one input.
type field struct {
	name     string
	shape    shape
	def      string // the default in action.yml, "" for none
	context  string // or the expression that is the default there; theCommit is none
	required string // what to do when it is missing, "" for an input that may be
	outside  string // the same outside of GitHub, "" where it does not differ
	set      func(p *parser, value string) error
}

// fields lists the inputs in the order of action.yml.
func fields() []field {
	return []field{
		{name: "host", shape: text, set: setHost},
		{name: "instances", shape: text, set: setInstances},
		{name: "address", def: defaultAddress, set: setAddress},
		{name: "expect-hosts", def: defaultExpect, set: setExpectHosts},
		{name: "access", def: defaultAccess, set: setAccess},
		{name: "username", def: defaultUsername, set: setUsername},
		{name: "port", def: defaultPort, set: setPort},
		{name: "key", shape: keyText, set: setKey},
		{name: "passphrase", shape: password, set: setPassphrase},
		{name: "certificate", shape: text, set: setCertificate},
		{name: "known-hosts", shape: text, set: setKnownHosts},
		{name: "fingerprint", shape: text, set: setFingerprint},
		{name: "host-keys", shape: text, def: defaultHostKeys, set: setHostKeySources},
		{name: "insecure-skip-host-key-check", def: defaultInsecure, set: setInsecure},
		{name: "proxy-jump", shape: text, set: setProxyJump},
		{name: "proxy-jump-key", shape: keyText, set: setProxyJumpKey},
		{name: "proxy-jump-passphrase", shape: password, set: setProxyJumpPassphrase},
		{name: "proxy-jump-fingerprint", shape: text, set: setProxyJumpFingerprint},
		{name: "security-group", set: setSecurityGroup},
		{name: "runner-cidr", set: setRunnerCIDR},
		{name: "connect-endpoint", set: setConnectEndpoint},
		{
			name: "connect-timeout", def: defaultConnectTimeout,
			set: duration(func(in *Inputs) *time.Duration { return &in.ConnectTimeout }, time.Second, 10*time.Minute),
		},
		{
			name: "timeout", def: defaultTimeout,
			set: duration(func(in *Inputs) *time.Duration { return &in.Timeout }, time.Second, 24*time.Hour),
		},
		{
			name: "lock-timeout", def: defaultLockTimeout,
			set: duration(func(in *Inputs) *time.Duration { return &in.LockTimeout }, 0, 24*time.Hour),
		},
		{name: "operation", def: defaultOperation, set: setOperation},
		{name: "release", set: setRelease},
		{name: "maintenance", set: setMaintenance},
		{name: "maintenance-page", set: setMaintenancePage},
		{name: "maintenance-allow", shape: text, set: setMaintenanceAllow},
		{name: "allow-older", def: defaultAllowOlder, set: setAllowOlder},
		{name: "allow-down", def: defaultAllowDown, set: setAllowDown},
		{name: "command", shape: text, set: setCommand},
		{name: "run-at-once", def: defaultAtOnce, set: setAtOnce},
		{name: "log-of", shape: text, def: defaultLogOf, set: setLogOf},
		{
			name: "log-lines", def: defaultLogLines,
			set: number(func(in *Inputs) *int { return &in.Logs.Lines }, 1, 5000, ""),
		},
		{name: "log-since", set: setLogSince},
		{name: "log-filter", set: setLogFilter},
		{name: "dry-run", def: defaultDryRun, set: setDryRun},
		{name: "setup", def: defaultSetup, set: setSetup},
		{name: "packages", shape: text, set: setPackages},
		{name: "swap", set: setSwap},
		{name: "app", set: setApp},
		{name: "path", set: setPath},
		{name: "confirm", set: setConfirm},
		{name: "remove-shared", def: defaultRemoveShared, set: setRemoveShared},
		{name: "source", def: defaultSource, set: setSource},
		{name: "workspace-path", def: defaultWorkspacePath, set: setWorkspacePath},
		{name: "exclude", shape: text, def: defaultExclude, set: setExclude},
		{
			name: "repository", context: "github.repository", set: setRepository,
			required: `write "owner/name" (GITHUB_REPOSITORY is not set either)`,
			outside: `write "owner/name"; with --source=workspace, too, where it is the name of the application ` +
				"(GITHUB_REPOSITORY is not set either)",
		},
		{
			name: "ref", context: theCommit, set: setRef,
			required: "write a commit, branch or tag (GITHUB_SHA is not set either)",
			outside:  `write the commit, such as "$(git rev-parse HEAD)" (GITHUB_SHA is not set either)`,
		},
		{name: "token", context: "github.token", shape: password, set: setToken},
		{name: "build", shape: text, set: script(func(in *Inputs) *string { return &in.Build })},
		{name: "start", shape: text, def: defaultStart, set: script(func(in *Inputs) *string { return &in.Start })},
		{name: "strategy", def: defaultStrategy, set: setStrategy},
		{name: "batch", shape: text, set: setBatch},
		{name: "skip-unreachable", def: defaultSkip, set: setSkipUnreachable},
		{name: "target-group", shape: text, set: setTargetGroups},
		{
			name: "target-timeout", def: defaultTargetTimeout,
			set: duration(func(in *Inputs) *time.Duration { return &in.TargetTimeout }, time.Second, time.Hour),
		},
		{name: "launch-image", def: defaultLaunchImage, set: setLaunchImage},
		{
			name: "keep-images", def: defaultKeepImages,
			set: number(func(in *Inputs) *int { return &in.KeepImages }, 2, 100,
				", the one that is launched and the one before it included"),
		},
		{name: "processes", shape: text, set: setProcesses},
		{name: "schedule", shape: text, set: setSchedule},
		{name: "workers-overlap", def: defaultOverlap, set: setOverlap},
		{name: "before-start", shape: text, set: script(func(in *Inputs) *string { return &in.BeforeStart })},
		{
			name: "before-start-on", def: defaultBeforeStartOn,
			set: on(func(in *Inputs) *On { return &in.BeforeStartOn }),
		},
		{name: "after-switch", shape: text, set: script(func(in *Inputs) *string { return &in.AfterSwitch })},
		{
			name: "after-switch-on", def: defaultAfterSwitchOn,
			set: on(func(in *Inputs) *On { return &in.AfterSwitchOn }),
		},
		{name: "env", shape: envText, set: setEnv},
		{name: "env-from", shape: text, set: setEnvFrom},
		{name: "shared", shape: text, set: setShared},
		{name: "assets", shape: text, set: setAssets},
		{name: "role-to-assume", set: setRole},
		{name: "aws-region", set: setAWSRegion},
		{name: "s3-endpoint", set: setS3Endpoint},
		{name: "ports", def: defaultPorts, set: setPorts},
		{name: "health-path", def: defaultHealthPath, set: setHealthPath},
		{
			name: "health-status", def: defaultHealthStatus,
			set: number(func(in *Inputs) *int { return &in.Health.Status }, 200, 599, ""),
		},
		{name: "health-body", set: setHealthBody},
		{
			name: "health-timeout", def: defaultHealthTimeout,
			set: duration(func(in *Inputs) *time.Duration { return &in.Health.Timeout }, time.Second, time.Hour),
		},
		{name: "health-host", set: setHealthHost},
		{
			name: "watch-for", def: defaultWatchFor,
			set: duration(func(in *Inputs) *time.Duration { return &in.WatchFor }, 0, time.Hour),
		},
		{
			name: "drain-timeout", def: defaultDrainTimeout,
			set: duration(func(in *Inputs) *time.Duration { return &in.DrainTimeout }, 0, time.Hour),
		},
		// systemd takes a stop time-out of 0 for infinity.
		{
			name: "stop-timeout", def: defaultStopTimeout,
			set: duration(func(in *Inputs) *time.Duration { return &in.StopTimeout }, time.Second, 10*time.Minute),
		},
		{name: "server-name", def: defaultServerName, set: setServerName},
		{name: "nginx-include", def: defaultNginxInclude, set: setNginxInclude},
		{name: "https", set: setHTTPS},
		{name: "acme-server", def: defaultACMEServer, set: setACMEServer},
		{name: "tls-certificate", shape: text, set: setTLSCertificate},
		{name: "tls-key", shape: keyText, set: setTLSKey},
		{name: "hsts", set: setHSTS},
		{name: "trusted-proxies", shape: text, set: setTrustedProxies},
		{name: "max-body-size", def: defaultMaxBodySize, set: setMaxBodySize},
		{
			name: "response-timeout", def: defaultResponse,
			set: duration(func(in *Inputs) *time.Duration { return &in.ResponseTimeout }, time.Second, 24*time.Hour),
		},
		{
			name: "keep-releases", def: defaultKeepReleases,
			set: number(func(in *Inputs) *int { return &in.KeepReleases }, 2, 1000,
				", the live release and the one before it included"),
		},
	}
}
