package outcome

import "github.com/clothesme/deploy-action/scripts"

// Topic is a section of docs/troubleshooting.md, by the anchor of its heading: what is seen, why,
// and what to do, in more words than a log has room for.
type Topic string

// The sections that failures name. A test looks for each of them on the page.
const (
	TopicTexts       Topic = "the-exact-texts" // for what has none of its own
	TopicInputs      Topic = "the-inputs-are-refused"
	TopicNoAnswer    Topic = "the-host-does-not-answer"
	TopicDoor        Topic = "the-port-in-the-security-group"
	TopicKey         Topic = "the-key-is-refused"
	TopicHostKey     Topic = "the-host-key-is-unknown-or-another-one"
	TopicLogin       Topic = "the-login-does-something-else"
	TopicHost        Topic = "the-host-lacks-something"
	TopicRights      Topic = "rights-service-and-site"
	TopicRuns        Topic = "the-version-that-runs-is-not-taken-over"
	TopicOtherRun    Topic = "the-run-waits-is-cancelled-or-is-refused"
	TopicLost        Topic = "the-connection-was-lost"
	TopicTime        Topic = "time"
	TopicFetch       Topic = "the-commit-cant-be-fetched"
	TopicWorkspace   Topic = "sending-the-workspace"
	TopicS3          Topic = "files-from-s3"
	TopicAWS         Topic = "variables-from-aws"
	TopicBuild       Topic = "the-build-or-a-command-fails"
	TopicRoom        Topic = "memory-or-disk-runs-out"
	TopicEnds        Topic = "the-application-ends-before-it-is-healthy"
	TopicAnswer      Topic = "the-application-does-not-answer-the-health-check"
	TopicNginx       Topic = "nginx"
	TopicCertificate Topic = "there-is-no-certificate"
	TopicHTTPS       Topic = "https"
	TopicMaintenance Topic = "maintenance"
	TopicRemove      Topic = "taking-an-application-off-a-host"
	TopicRetire      Topic = "retiring-the-old-version"
	TopicRollback    Topic = "rolling-back-restarting"
	TopicRun         Topic = "running-a-command"
	TopicInPlace     Topic = "one-version-at-a-time"
	TopicWorkers     Topic = "workers"
	TopicBalancer    Topic = "the-load-balancer"
	TopicImage       Topic = "images-for-a-group"
	TopicDown        Topic = "the-site-is-down"
)

// URL is where the section is read. The page is that of the major version, which is what workflows
// name.
func (t Topic) URL() string {
	return "https://github.com/clothesme/deploy-action/blob/v1/docs/troubleshooting.md#" + string(t)
}

// topics are the sections for the exit codes of scripts. ExitCheck has none: which it is depends on
// what was checked.
var topics = map[int]Topic{
	scripts.ExitLockBusy:     TopicOtherRun,
	scripts.ExitLockLost:     TopicOtherRun,
	scripts.ExitStepBusy:     TopicOtherRun,
	scripts.ExitFetch:        TopicFetch,
	scripts.ExitReceive:      TopicWorkspace,
	scripts.ExitBuild:        TopicBuild,
	scripts.ExitHook:         TopicBuild,
	scripts.ExitForeign:      TopicRuns,
	scripts.ExitStart:        TopicEnds,
	scripts.ExitDied:         TopicEnds,
	scripts.ExitSilent:       TopicAnswer,
	scripts.ExitUnhealthy:    TopicAnswer,
	scripts.ExitNginx:        TopicNginx,
	scripts.ExitNotRouted:    TopicNginx,
	scripts.ExitStop:         TopicRetire,
	scripts.ExitDisk:         TopicRoom,
	scripts.ExitReadOnly:     TopicRoom,
	scripts.ExitMemory:       TopicRoom,
	scripts.ExitAssetPath:    TopicS3,
	scripts.ExitAssetRefused: TopicS3,
	scripts.ExitAssetMissing: TopicS3,
	scripts.ExitAssetStale:   TopicS3,
	scripts.ExitAssetCut:     TopicS3,
	scripts.ExitAssetWrong:   TopicS3,
	scripts.ExitFlag:         TopicRuns,
	scripts.ExitHalt:         TopicLost,
	scripts.ExitWorker:       TopicWorkers,
	scripts.ExitRun:          TopicRun,
	scripts.ExitRunBusy:      TopicRun,
	scripts.ExitCertificate:  TopicCertificate,
}

// TopicOf is the section for an exit code of the package scripts, "" where that alone does not tell.
func TopicOf(code int) Topic { return topics[code] }
