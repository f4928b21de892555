package scripts

// The exit codes of all scripts, named once; they stand in front of every script under the names in [Exits].
const (
	ExitCheck     = 64 + iota // the host lacks something or is not as it must be
	ExitLockBusy              // another run holds the deploy lock
	ExitLockLost              // this run does not hold it any more
	ExitStepBusy              // a step of an earlier run is still at work
	ExitFetch                 // git can't have the commit
	ExitReceive               // what came from the runner is not what was sent
	ExitBuild                 // the build command or pip failed
	ExitHook                  // before-start or after-switch failed
	ExitForeign               // something that is not ours has the port
	ExitStart                 // the process can't be started
	ExitDied                  // the application exited
	ExitSilent                // the application never listened
	ExitUnhealthy             // the application answered, but not right
	ExitNginx                 // nginx refuses the configuration
	ExitNotRouted             // nginx does not send requests to the slot
	ExitStop                  // something of a slot still runs
)

// Exit is an exit code and its name in the scripts.
type Exit struct {
	Name string
	Code int
}

// Exits lists every code, for the scripts and for the tests that compare both sides.
var Exits = []Exit{
	{"EX_CHECK", ExitCheck},
	{"EX_LOCK_BUSY", ExitLockBusy},
	{"EX_LOCK_LOST", ExitLockLost},
	{"EX_STEP_BUSY", ExitStepBusy},
	{"EX_FETCH", ExitFetch},
	{"EX_RECEIVE", ExitReceive},
	{"EX_BUILD", ExitBuild},
	{"EX_HOOK", ExitHook},
	{"EX_FOREIGN", ExitForeign},
	{"EX_START", ExitStart},
	{"EX_DIED", ExitDied},
	{"EX_SILENT", ExitSilent},
	{"EX_UNHEALTHY", ExitUnhealthy},
	{"EX_NGINX", ExitNginx},
	{"EX_NOT_ROUTED", ExitNotRouted},
	{"EX_STOP", ExitStop},
}
