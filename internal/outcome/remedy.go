package outcome

import (
	"fmt"
	"strings"

	"github.com/clothesme/deploy-action/scripts"
)

// Place is what the commands of a remedy name of a run: the host, and what is where on it.
type Place struct {
	SSH        string // the host, as ssh is told of it
	Path       string // the deploy root
	Flags      string // the folder of nginx's flag
	Repository string // owner/name, from which the host fetches
	LogPort    uint16 // the port in whose log the new version's words are
	Rollback   bool   // the release was chosen, and not pushed
	Again      bool   // it is the one that served before
}

// remedies are what to do about the exit codes of scripts. What is in braces is the run's own; see
// Remedy.
var remedies = map[int]string{
	scripts.ExitCheck:    "put right what is listed above on the host and run this workflow again",
	scripts.ExitLockBusy: "wait for the other run to end, or raise the input \"lock-timeout\"",
	scripts.ExitLockLost: "see what the other deployment did; run this workflow again if its release is still wanted",
	scripts.ExitStepBusy: "end that process on the host and run this workflow again",
	scripts.ExitFetch: "correct the input \"ref\" if there is no such commit, branch or tag; " +
		"the token needs \"contents: read\" on {repository}, and the commit must be pushed",
	scripts.ExitReceive: "run this workflow again: everything is sent anew where the host does not have it whole",
	scripts.ExitBuild:   "see the build's words above, fix it and push again",
	scripts.ExitHook:    "see the command's words above, fix it and run this workflow again",
	scripts.ExitRun:     "see the command's words above",
	scripts.ExitRunBusy: "wait for it to end, or raise the input \"lock-timeout\"; with the input \"run-at-once\" a " +
		"command runs beside others",
	scripts.ExitCertificate: "put right what the authority says, and run this workflow again",
	scripts.ExitForeign:     "stop that process, or choose other ports with the input \"ports\"",
	scripts.ExitStart:       "{mend}{log}",
	scripts.ExitDied:        "{mend}{log}",
	scripts.ExitSilent: "make the application listen on $PORT, " +
		"or give it more time with the input \"health-timeout\"{log}",
	scripts.ExitUnhealthy: "make it answer right and push again, " +
		"or correct the inputs health-path, health-status and health-body{log}",
	scripts.ExitNginx: "resolve on the host what is named above and run this workflow again",
	scripts.ExitNotRouted: "change the server block that is named above, " +
		"or give this site other names with the input \"server-name\"; what nginx reads: ssh {ssh} sudo nginx -T",
	scripts.ExitFlag: "see who else writes to {flags}; run this workflow again, it puts the flag right",
	scripts.ExitWorker: "see its last lines above; fix it in the release, or its command in the input \"processes\" " +
		"or the Procfile, and push again",
	scripts.ExitHalt: "run this workflow again once the host is back",
	scripts.ExitMemory: "give the host swap (input \"swap\", such as \"1G\"), or a bigger instance: " +
		"two versions run at once for as long as the new one proves itself; " +
		"what a build takes, the runner can do with source \"workspace\"",
	scripts.ExitDisk: "give the host a bigger disk, or free some of it " +
		"(see what takes it: ssh {ssh} sudo du -xhd 2 / | sort -h | tail), and run this workflow again; " +
		"what has come already is kept",
	scripts.ExitReadOnly: "see why: ssh {ssh} sudo dmesg, whose last lines name a disk that fails; " +
		"else remount it (sudo mount -o remount,rw and the folder it is mounted at), and run this workflow again",
	scripts.ExitAssetPath: "take the file out of the repository, or choose another path in the input \"assets\"",
	scripts.ExitAssetRefused: "the runner was allowed to look it up: " +
		"see whether a bucket policy admits the host's network, " +
		"whether s3:GetObjectVersion is allowed where the bucket keeps versions, and whether the credentials had ended",
	scripts.ExitAssetMissing: "run this workflow again once the object is in place and no longer changes",
	scripts.ExitAssetStale:   "run this workflow again once the object is in place and no longer changes",
	scripts.ExitAssetCut:     "see curl's words above; run this workflow again, it goes on where this one stopped",
	scripts.ExitAssetWrong: "compare the sha256 in the input \"assets\" with the file's; " +
		"if it is none of the workflow's, upload the file again, or give its sha256 there",
}

// Remedy says what to do about a script that ended with one of the exit codes of the package
// scripts.
func (p Place) Remedy(code int) string {
	text, ok := remedies[code]
	if !ok {
		return "see the lines above and run this workflow again"
	}
	mend := "fix the release or the input \"start\" and push again"
	switch {
	case p.Again:
		mend = "correct the input \"env\" if that has changed, or fix the release and push it"
	case p.Rollback:
		mend = "choose another release with the input \"release\", or fix this one and push it"
	}
	return strings.NewReplacer(
		"{mend}", mend,
		"{log}", fmt.Sprintf("; the whole log: ssh %s tail -n 100 %s/logs/%d.log", p.SSH, p.Path, p.LogPort),
		"{ssh}", p.SSH,
		"{flags}", p.Flags,
		"{repository}", p.Repository,
	).Replace(text)
}
