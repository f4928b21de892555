package inputs

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

func setMaintenance(p *parser, value string) error {
	asked := p.values["operation"] == string(Maintenance)
	switch {
	case value == "" && asked:
		return errors.New("is required for operation \"maintenance\": write \"on\" or \"off\"")
	case value != "" && !asked:
		return errors.New("is for operation \"maintenance\" only: leave it out, or set that operation; what it has " +
			"put up stays there through deployments")
	case value != "" && value != "on" && value != "off":
		return fmt.Errorf("must be \"on\" or \"off\" %s", got(value))
	}
	p.in.Maintenance = value == "on"
	return nil
}

// setMaintenancePage checks the words; where links of the release lead is seen on the host.
func setMaintenancePage(p *parser, value string) error {
	if value == "" {
		return nil
	}
	clean := path.Clean(value)
	first, _, _ := strings.Cut(clean, "/")
	if !plainPath.MatchString(value) || path.IsAbs(value) || first == ".." || clean == "." || first == ".deploy-action" {
		return fmt.Errorf("must be a file of the release, such as \"public/maintenance.html\", with only A-Z, a-z, 0-9 "+
			"and . _ / - in it %s", got(value))
	}
	p.in.MaintenancePage = clean
	return nil
}

func setMaintenanceAllow(p *parser, value string) (err error) {
	p.in.MaintenanceAllow, err = networks(value, "or nobody would see the page")
	return err
}
