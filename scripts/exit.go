package scripts

// The exit codes of all scripts, named once; they stand in front of every script under the names in
// [Exits].
const (
	ExitCheck        = 64 + iota // the host lacks something or is not as it must be
	ExitLockBusy                 // another run holds the deploy lock
	ExitLockLost                 // this run does not hold it any more
	ExitStepBusy                 // a step that was cut off could not be ended
	ExitFetch                    // git can't have the commit
	ExitReceive                  // what came from the runner is not what was sent
	ExitBuild                    // the build command or pip failed
	ExitHook                     // before-start or after-switch failed
	ExitForeign                  // something that is not ours has the port
	ExitStart                    // the process can't be started
	ExitDied                     // the application exited
	ExitSilent                   // the application never listened
	ExitUnhealthy                // the application answered, but not right
	ExitNginx                    // nginx refuses the configuration
	ExitNotRouted                // nginx does not send requests to the slot
	ExitStop                     // something of a slot still runs
	ExitDisk                     // the disk is full
	ExitAssetPath                // an asset can't be put where it should be
	ExitAssetRefused             // S3 refuses the host the signed URL
	ExitAssetMissing             // an asset has vanished since it was looked up
	ExitAssetStale               // what came of an asset so far is of no use any more
	ExitAssetCut                 // the download of an asset does not get on
	ExitAssetWrong               // an asset is not the file it should be
	ExitReadOnly                 // a file system that must be written to is read-only
	ExitFlag                     // the flags are not as the switch left them
	ExitMemory                   // the kernel ended something for want of memory
	ExitHalt                     // the host is being shut down or restarted
	ExitWorker                   // a process beside the one that serves did not stay up
	ExitRun                      // the command of the operation run failed
	ExitRunBusy                  // another one runs
	ExitCertificate              // the authority gives no certificate
	ExitNotBegun                 // it was told not to begin; the conversation says skipped
)

// ExitNotBash is the exit code of another shell than bash that has got a script to read.
const ExitNotBash = 97

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
	{"EX_DISK", ExitDisk},
	{"EX_ASSET_PATH", ExitAssetPath},
	{"EX_ASSET_REFUSED", ExitAssetRefused},
	{"EX_ASSET_MISSING", ExitAssetMissing},
	{"EX_ASSET_STALE", ExitAssetStale},
	{"EX_ASSET_CUT", ExitAssetCut},
	{"EX_ASSET_WRONG", ExitAssetWrong},
	{"EX_READ_ONLY", ExitReadOnly},
	{"EX_FLAG", ExitFlag},
	{"EX_MEMORY", ExitMemory},
	{"EX_HALT", ExitHalt},
	{"EX_WORKER", ExitWorker},
	{"EX_RUN", ExitRun},
	{"EX_RUN_BUSY", ExitRunBusy},
	{"EX_CERTIFICATE", ExitCertificate},
	{"EX_NOT_BEGUN", ExitNotBegun},
}
