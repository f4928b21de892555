package state

import (
	"regexp"

	"github.com/clothesme/deploy-action/internal/inputs"
)

// The forms of what a host tells and what goes on from here: into outputs, the summary, the next
// commands. A host may be in the wrong hands, and an output in a command of the workflow. Those
// called Or match nothing, too.
var (
	ReleaseForm = inputs.ReleaseID
	ReleaseOr   = regexp.MustCompile("^$|" + inputs.ReleaseID.String())
	CommitForm  = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`) // git's, or the identity of what was sent
	KeyForm     = regexp.MustCompile("^([0-9a-f]{64})?$")             // by which a host tells recipes, or nothing
	StatusOr    = regexp.MustCompile(`^([0-9]{3})?$`)                 // of HTTP
	NumberForm  = regexp.MustCompile(`^[0-9]{1,20}$`)
	// GroupOr is what lib/process.sh keeps of a unit; what has another form is not used.
	GroupOr = regexp.MustCompile(`^([0-9]{1,10} (-|/[!-~]{1,400}) /[!-~]{1,400})?$`)
	// FolderForm is that of nginx's folder, into which root writes.
	FolderForm = regexp.MustCompile(`^(/[A-Za-z0-9_+@-][A-Za-z0-9._+@-]*){1,20}$`)

	namesOr = regexp.MustCompile(`^[A-Za-z0-9_ -]*$`)

	timersOr = regexp.MustCompile(`^[a-z0-9_. -]*$`)

	trialOr = regexp.MustCompile(`^([0-9]{1,5} [A-Za-z0-9-]+ [A-Za-z0-9-]+)?$`) // of the site

	appOr    = regexp.MustCompile(`^([a-z][a-z0-9-]{0,31})?$`)
	pathOr   = regexp.MustCompile(`^[A-Za-z0-9._/-]{0,200}$`)
	numberOr = regexp.MustCompile(`^[0-9]{0,12}$`)
)
