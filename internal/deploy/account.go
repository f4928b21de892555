package deploy

import (
	"errors"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/remote"
)

// Account is as whom a run asks AWS.
func Account(in *inputs.Inputs, rep *report.Report) *cloud.Account {
	session := "deploy-action"
	if in.Run.ID != "" {
		session += "-" + in.Run.ID
	}
	return &cloud.Account{
		Region: in.AWSRegion, Role: in.Role, Session: session, Mask: rep.Mask,
		Token: cloud.Token{URL: in.Identity.URL, Bearer: in.Identity.Bearer.Reveal()},
	}
}

// As has the run ask AWS as an account that something else of it asks as, too: its role is taken once.
func (d *Deployment) As(account *cloud.Account) *Deployment {
	d.account = account
	return d
}

// passing tells what AWS may do the next time as SSH is told it.
func passing(err error) error {
	var passes *cloud.PassingError
	if errors.As(err, &passes) {
		return &remote.PassingError{Err: err}
	}
	return err
}
