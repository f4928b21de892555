package inputs

import (
	"errors"
	"fmt"
)

// setConfirm: without it the operation remove lists what would go. It comes after app.
func setConfirm(p *parser, value string) error {
	switch {
	case value == "":
		return nil
	case p.values["operation"] != string(Remove):
		return errors.New("is for operation \"remove\" only: leave it out, or set that operation")
	case p.in.App != "" && value != p.in.App:
		return fmt.Errorf("must be the name of the application that is to be removed, %q, or be left out for a list "+
			"of what would go %s", p.in.App, got(value))
	}
	p.in.Confirmed = true
	return nil
}

func setRemoveShared(p *parser, value string) (err error) {
	p.in.RemoveShared, err = boolean(value)
	if err == nil && p.in.RemoveShared && p.values["operation"] != string(Remove) {
		return errors.New("is for operation \"remove\" only: leave it out, or set that operation")
	}
	return err
}
