package inputs

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/clothesme/deploy-action/internal/exclude"
)

// The sources of a release.
const (
	Git       = "git"       // the host fetches a commit
	Workspace = "workspace" // the runner sends its checkout
)

func setSource(p *parser, value string) error {
	switch {
	case value != Git && value != Workspace:
		return fmt.Errorf("must be %q or %q %s", Git, Workspace, got(value))
	case value == Workspace && p.in.Outside && !filepath.IsAbs(p.in.Workspace):
		return fmt.Errorf("must be %q in the root folder: start the program in the checkout that is to be sent "+
			"(docker run -v \"$PWD:/work\" -w /work)", Git)
	case value == Workspace && !filepath.IsAbs(p.in.Workspace):
		return fmt.Errorf("must be %q outside of a workflow: GITHUB_WORKSPACE, the checkout to send, is not set", Git)
	}
	p.in.Source = value
	if value == Git {
		p.in.Workspace = ""
	}
	return nil
}

// setWorkspacePath checks the words; that no link of the checkout leads out of it is seen when it
// is read.
func setWorkspacePath(p *parser, value string) error {
	if !filepath.IsLocal(value) {
		return fmt.Errorf("must be a folder inside the workspace, such as \"dist\" %s", got(value))
	}
	p.in.WorkspacePath = filepath.Clean(value)
	return nil
}

func setExclude(p *parser, value string) error {
	for _, item := range items(value) {
		switch err := exclude.Check(item); {
		case errors.Is(err, exclude.ErrNegated):
			return fmt.Errorf("must not begin a pattern with \"!\": what is left out can't be taken in again %s",
				gotItem(value, item))
		case err != nil:
			return fmt.Errorf("must be patterns such as \"*.log\", \"/docs\" or \"cache/\", by comma or line %s",
				gotItem(value, item))
		}
		p.in.Exclude = append(p.in.Exclude, item)
	}
	return nil
}
