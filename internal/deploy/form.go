package deploy

import (
	"regexp"

	"github.com/clothesme/deploy-action/internal/inputs"
)

// The forms of what a host tells and what goes on from here: into outputs, the summary, the next commands. A host may be in the wrong hands, and
// an output in a command of the workflow.
var (
	releaseForm = inputs.ReleaseID
	keyForm     = regexp.MustCompile("^([0-9a-f]{64})?$")
	releaseOr   = regexp.MustCompile("^$|" + inputs.ReleaseID.String()) // or nothing
	commitForm  = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
	folderForm  = regexp.MustCompile(`^(/[A-Za-z0-9_+@-][A-Za-z0-9._+@-]*){1,20}$`) // of nginx's, into which root writes
	appOr       = regexp.MustCompile(`^([a-z][a-z0-9-]{0,31})?$`)
	pathOr      = regexp.MustCompile(`^[A-Za-z0-9._/-]{0,200}$`)
	statusOr    = regexp.MustCompile(`^([0-9]{3})?$`)
	numberForm  = regexp.MustCompile(`^[0-9]{1,20}$`)
)
