package inputs

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Operation is what a run does.
type Operation string

// The operations.
const (
	Deploy   Operation = "deploy"
	Restart  Operation = "restart"  // of the release that serves, in the other slot
	Rollback Operation = "rollback" // to a release that is still on the host
	Setup    Operation = "setup"    // makes the host ready for deployments, and deploys nothing
	Status   Operation = "status"   // says what is there; changes nothing
	Logs     Operation = "logs"     // shows the last lines of logs; changes nothing
	RunIt    Operation = "run"      // a command in the release that serves
	Check    Operation = "check"    // says what a deployment would lack; changes nothing
	// Maintenance puts a page up in the application's place, or takes it down.
	Maintenance Operation = "maintenance"
	Remove      Operation = "remove" // the application off the host; without Confirmed a list of what would go
	Tidy        Operation = "tidy"   // what a cut-off run left; the post step's, no user's
)

// SetupMode says what a run may install.
type SetupMode string

// The modes.
const (
	SetupAuto   SetupMode = "auto"   // what the host lacks
	SetupAlways SetupMode = "always" // that, and newer versions of what it has
	SetupNever  SetupMode = "never"
)

var operations = []Operation{Deploy, Restart, Rollback, Setup, Status, Check, Logs, RunIt, Maintenance, Remove}

// ReleaseID is the form of a release's id: its time and the beginning of its commit.
var ReleaseID = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{7}$`)

func setOperation(p *parser, value string) error {
	if !slices.Contains(operations, Operation(value)) {
		return fmt.Errorf("must be one of %s %s", listed(operations), got(value))
	}
	p.in.Operation = Operation(value)
	return nil
}

// listed quotes words for a message.
func listed[T ~string](words []T) string {
	quoted := make([]string, len(words))
	for n, word := range words {
		quoted[n] = fmt.Sprintf("%q", string(word))
	}
	return strings.Join(quoted, ", ")
}

func setAllowOlder(p *parser, value string) (err error) {
	p.in.AllowOlder, err = boolean(value)
	return err
}

func setAllowDown(p *parser, value string) (err error) {
	p.in.AllowDown, err = boolean(value)
	return err
}

func setDryRun(p *parser, value string) (err error) {
	p.in.DryRun, err = boolean(value)
	return err
}

func setSetup(p *parser, value string) error {
	if mode := SetupMode(value); mode != SetupAuto && mode != SetupAlways && mode != SetupNever {
		return fmt.Errorf("must be \"auto\", \"always\" or \"never\" %s", got(value))
	}
	p.in.Setup = SetupMode(value)
	return nil
}

// packageName follows the Debian policy manual, section 5.6.1, less what apt-get reads as more than
// a name: it removes what ends in "-", and installs what ends in "+" without it, but for names such
// as g++ that it knows.
var packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9.+-]*([a-z0-9]|\+\+)$`)

func setPackages(p *parser, value string) error {
	for _, name := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(" ,\r\n\t", r) }) {
		if !packageName.MatchString(name) {
			return fmt.Errorf("must be names of Debian packages, such as \"libgl1 unzip\" %s", gotItem(value, name))
		}
		p.in.Packages = append(p.in.Packages, name)
	}
	return nil
}

func setRelease(p *parser, value string) error {
	switch {
	case value == "":
		return nil
	case !ReleaseID.MatchString(value):
		return fmt.Errorf("must be the id of a release, such as \"20261123T101500Z-1a2b3c4\"; operation \"status\" "+
			"lists them %s", got(value))
	case p.values["operation"] != string(Rollback):
		return errors.New("is for operation \"rollback\" only: leave it out, or set that operation")
	}
	p.in.Release = value
	return nil
}
