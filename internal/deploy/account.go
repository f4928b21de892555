package deploy

import (
	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/report"
)

// accountOf is as whom a run asks AWS.
func accountOf(in *inputs.Inputs, rep *report.Report) *cloud.Account {
	session := "deploy-action"
	if in.Run.ID != "" {
		session += "-" + in.Run.ID
	}
	return &cloud.Account{
		Region: in.AWSRegion, Role: in.Role, Session: session, Mask: rep.Mask,
		Token: cloud.Token{URL: in.Identity.URL, Bearer: in.Identity.Bearer.Reveal()},
	}
}
