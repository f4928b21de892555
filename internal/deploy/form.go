package deploy

import "regexp"

// The forms of what a host tells and what goes on from here: into outputs, the summary, the next commands. A host may be in the wrong hands, and
// an output in a command of the workflow.
var (
	releaseForm = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{7}$`)
	releaseOr   = regexp.MustCompile(`^([0-9]{8}T[0-9]{6}Z-[0-9a-f]{7})?$`) // or nothing
	commitForm  = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
	numberForm  = regexp.MustCompile(`^[0-9]{1,20}$`)
)
